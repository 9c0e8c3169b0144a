//! A WebSocket with little in memory while it is quiet.
//!
//! tungstenite reads: it checks the protocol and answers pings. Text frames are
//! written here, straight from the buffer they were encoded in; its own write
//! buffer would keep the size of the largest frame ever sent, for every
//! connection and for as long as it lasts.

use std::{io, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use schemas::{CloseCode, limits::CLIENT_FRAME_BYTES};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

/// Read buffer of a quiet connection; it grows for a long frame.
const READ_BUFFER_BYTES: usize = 1024;
/// Frames up to this size are gathered into one write.
const GATHERED_BYTES: usize = 4 * 1024;
/// How long a closed socket is still read, so that the client is not reset
/// before it has read why.
const LINGER: Duration = Duration::from_secs(2);
/// How much of it is read.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// One client's connection.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    /// Whole frames, with their headers, that were not written yet.
    gathered: Vec<u8>,
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A text frame.
    Text(Utf8Bytes),
    /// A binary frame.
    Binary,
    /// A ping or a pong: a sign of life.
    Life,
    /// A frame above the limit.
    TooBig,
    /// Not the WebSocket protocol, or text that is not UTF-8.
    Misuse,
    /// The client closed, or is gone.
    Gone,
}

impl Connection {
    /// A connection after its handshake, with what was read beyond that.
    pub(crate) async fn new(stream: TcpStream, read: &[u8]) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(GATHERED_BYTES)
            .max_message_size(Some(CLIENT_FRAME_BYTES))
            .max_frame_size(Some(CLIENT_FRAME_BYTES));
        let socket =
            WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, Some(config))
                .await;
        Self { socket, gathered: Vec::new() }
    }

    /// The next thing the client sends. Dropping the future loses nothing.
    pub(crate) async fn receive(&mut self) -> Received {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Received::Text(text),
            Some(Ok(Message::Binary(_))) => Received::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Received::Life,
            Some(Ok(Message::Close(_))) => {
                self.answer_close().await;
                Received::Gone
            }
            None => Received::Gone,
            Some(Err(Error::Capacity(_))) => Received::TooBig,
            Some(Err(Error::Protocol(_) | Error::Utf8(_) | Error::AttackAttempt)) => {
                Received::Misuse
            }
            Some(Err(_)) => Received::Gone,
        }
    }

    /// Sends a text frame; small ones wait for [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the client is gone. The connection is of no use then, nor after the
    /// future was dropped half way.
    pub(crate) async fn send(&mut self, text: &[u8]) -> io::Result<()> {
        if text.len() <= GATHERED_BYTES {
            if self.gathered.len() + text.len() > GATHERED_BYTES {
                self.flush().await?;
            }
            header(text.len(), &mut self.gathered);
            self.gathered.extend_from_slice(text);
            return Ok(());
        }
        header(text.len(), &mut self.gathered);
        self.settle_pongs().await?;
        let gathered = std::mem::take(&mut self.gathered);
        let mut frames = bytes::Buf::chain(gathered.as_slice(), text);
        self.socket.get_mut().write_all_buf(&mut frames).await
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.settle_pongs().await?;
        let gathered = std::mem::take(&mut self.gathered);
        self.socket.get_mut().write_all(&gathered).await
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn ping(&mut self) -> io::Result<()> {
        self.flush().await?;
        let ping = self.socket.send(Message::Ping(bytes::Bytes::new())).await;
        ping.map_err(io::Error::other)
    }

    /// Closes with a code, and reads on for a moment so that the code arrives.
    pub(crate) async fn close(mut self, code: CloseCode) {
        let frame = CloseFrame { code: code.code().into(), reason: code.reason().into() };
        let close = async {
            self.flush().await?;
            let closed = self.socket.send(Message::Close(Some(frame))).await;
            closed.map_err(io::Error::other)?;
            let mut stream = self.socket.into_inner();
            stream.shutdown().await?;
            let mut rest = stream.take(LINGER_BYTES as u64);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // A client that is gone has no use for the code.
        let _ = timeout(LINGER, close).await;
    }

    /// Writes tungstenite's answer to the client's close (RFC 6455 §5.5.1):
    /// without it, a browser reports the connection as broken.
    async fn answer_close(&mut self) {
        // A client that does not wait for it has no use for it.
        let _ = timeout(LINGER, self.socket.flush()).await;
    }

    /// Pongs are tungstenite's to write: none may be cut in two by a frame.
    async fn settle_pongs(&mut self) -> io::Result<()> {
        self.socket.flush().await.map_err(io::Error::other)
    }
}

/// The header of a final, unmasked text frame (RFC 6455 §5.2).
fn header(length: usize, frame: &mut Vec<u8>) {
    const FINAL_TEXT: u8 = 0x81;
    frame.push(FINAL_TEXT);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => frame.push(short),
        (_, Ok(medium)) => {
            frame.push(126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    /// Both ends of a connection over loopback.
    async fn pair() -> (Connection, WebSocketStream<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let server = Connection::new(server.unwrap().0, b"").await;
        let config = WebSocketConfig::default();
        let client =
            WebSocketStream::from_raw_socket(client.unwrap(), Role::Client, Some(config)).await;
        (server, client)
    }

    #[tokio::test]
    async fn frames_of_every_length_arrive_whole() {
        let (mut server, mut client) = pair().await;
        let lengths = [0, 1, 125, 126, 4096, 4097, 65_535, 65_536, 300_000];
        let texts: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
        let sending = async {
            for text in &texts {
                server.send(text.as_bytes()).await.unwrap();
            }
            server.flush().await.unwrap();
        };
        let receiving = async {
            for text in &texts {
                assert_eq!(client.next().await.unwrap().unwrap(), Message::text(text));
            }
        };
        tokio::join!(sending, receiving);
    }

    #[tokio::test]
    async fn the_longest_frame_passes_and_one_byte_more_closes_with_1009() {
        for (length, passes) in
            [(CLIENT_FRAME_BYTES, true), (CLIENT_FRAME_BYTES + 1, false), (5_000_000, false)]
        {
            let (mut server, mut client) = pair().await;
            let text = "x".repeat(length);
            let server = async {
                let received = server.receive().await;
                if passes {
                    return assert_eq!(received, Received::Text(text.as_str().into()));
                }
                assert_eq!(received, Received::TooBig);
                server.close(CloseCode::TooBig).await;
            };
            let client = async {
                // A client that is still sending may be cut off, but then reads the close.
                let _ = client.send(Message::text(text.as_str())).await;
                if !passes {
                    let Some(Ok(Message::Close(Some(frame)))) = client.next().await else {
                        panic!()
                    };
                    assert_eq!(u16::from(frame.code), 1009);
                }
            };
            tokio::join!(server, client);
        }
    }

    #[tokio::test]
    async fn a_clients_close_is_answered_with_its_code() {
        let (mut server, mut client) = pair().await;
        let frame = CloseFrame { code: 1000.into(), reason: "bye".into() };
        client.send(Message::Close(Some(frame.clone()))).await.unwrap();
        assert_eq!(server.receive().await, Received::Gone);
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Close(Some(frame)));
    }

    #[tokio::test]
    async fn pings_are_answered_between_frames() {
        let (mut server, mut client) = pair().await;
        client.send(Message::Ping("a".into())).await.unwrap();
        assert_eq!(server.receive().await, Received::Life);
        server.send(b"text").await.unwrap();
        server.flush().await.unwrap();
        let mut seen =
            vec![client.next().await.unwrap().unwrap(), client.next().await.unwrap().unwrap()];
        seen.sort_by_key(Message::is_text);
        assert_eq!(seen, [Message::Pong("a".into()), Message::text("text")]);
    }
}
