//! One WebSocket, frame by frame.

use std::{collections::VecDeque, future::poll_fn, task::Poll, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use schemas::{
    client,
    server::{self, Welcome},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message, Utf8Bytes,
        client::IntoClientRequest as _,
        http::HeaderValue,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// The subprotocol every client asks for.
const SUBPROTOCOL: &str = "petrel.v1";
/// Longest wait for the TCP connection and the upgrade.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a gateway that does only what it is told.
///
/// Reading answers the server's pings; a test that wants to be silent does not
/// read.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

/// How much memory a socket holds from its start on.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Bytes asked from the kernel at once.
    pub read: usize,
    /// Bytes of frames collected before a write.
    pub write: usize,
}

impl Buffers {
    /// For a client that mostly waits.
    pub const SMALL: Self = Self { read: 1024, write: 1024 };
    /// For one that is busy.
    pub const BUSY: Self = Self { read: 16 * 1024, write: 16 * 1024 };
}

/// What came out of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A text frame.
    Text(Utf8Bytes),
    /// The server's ping; it is answered when the socket is next read.
    Ping,
    /// Anything else that shows life.
    Other,
    /// The end, with the close code unless the connection just broke.
    Closed(Option<u16>),
}

/// Why a socket did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// No TCP connection.
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    /// The upgrade was refused.
    #[error("upgrade refused: {0}")]
    Upgrade(#[source] Box<tungstenite::Error>),
    /// A write failed.
    #[error("cannot write: {0}")]
    Write(#[source] Box<tungstenite::Error>),
    /// Nothing came in time.
    #[error("nothing came within {0:?}")]
    Silent(Duration),
    /// The server closed instead.
    #[error("closed ({0:?})")]
    Closed(Option<u16>),
    /// Something else came than what was waited for.
    #[error("unexpected frame: {0}")]
    Unexpected(String),
}

impl Socket {
    /// Connects and upgrades, without a hello.
    ///
    /// # Errors
    /// [`SocketError::Connect`], [`SocketError::Upgrade`], or
    /// [`SocketError::Silent`] after 10 s.
    pub async fn connect(base: &Url, buffers: Buffers) -> Result<Self, SocketError> {
        tokio::time::timeout(CONNECT_TIMEOUT, Self::open(base, buffers))
            .await
            .map_err(|_| SocketError::Silent(CONNECT_TIMEOUT))?
    }

    async fn open(base: &Url, buffers: Buffers) -> Result<Self, SocketError> {
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = base.port_or_known_default().unwrap_or(80);
        let tcp = TcpStream::connect((host, port)).await.map_err(SocketError::Connect)?;
        tcp.set_nodelay(true).map_err(SocketError::Connect)?;

        let refused = |error| SocketError::Upgrade(Box::new(error));
        let host = base.host_str().unwrap_or_default();
        let mut request =
            format!("ws://{host}:{port}/v1/ws").into_client_request().map_err(refused)?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default()
            .read_buffer_size(buffers.read)
            .write_buffer_size(buffers.write);
        let (stream, _) =
            client_async_with_config(request, tcp, Some(config)).await.map_err(refused)?;
        Ok(Self { stream })
    }

    /// Connects, says hello and waits for the welcome.
    ///
    /// # Errors
    /// As [`Socket::connect`]; [`SocketError::Closed`] when the token is
    /// refused.
    pub async fn hello(
        base: &Url,
        token: &str,
        receipts_after: u64,
        buffers: Buffers,
    ) -> Result<(Self, Welcome), SocketError> {
        let mut socket = Self::connect(base, buffers).await?;
        let hello = client::Hello { token: token.to_owned(), receipts_after };
        socket.send(&client::Frame::Hello(hello)).await?;
        match socket.frame(CONNECT_TIMEOUT).await? {
            server::Frame::Welcome(welcome) => Ok((socket, welcome)),
            other => Err(SocketError::Unexpected(format!("{other:?}"))),
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// [`SocketError::Write`].
    pub async fn send(&mut self, frame: &client::Frame) -> Result<(), SocketError> {
        self.feed(frame).await?;
        self.flush().await
    }

    /// Adds a frame to the write buffer, which is written when it is full or flushed.
    ///
    /// # Errors
    /// [`SocketError::Write`].
    pub async fn feed(&mut self, frame: &client::Frame) -> Result<(), SocketError> {
        #[allow(clippy::expect_used, reason = "frames are plain data with string keys")]
        let text = serde_json::to_string(frame).expect("a frame is always JSON");
        self.feed_text(text).await
    }

    /// Adds any text to the write buffer.
    ///
    /// # Errors
    /// [`SocketError::Write`].
    pub async fn feed_text(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), SocketError> {
        self.stream.feed(Message::Text(text.into())).await.map_err(write_failed)
    }

    /// Writes what was fed.
    ///
    /// # Errors
    /// [`SocketError::Write`].
    pub async fn flush(&mut self) -> Result<(), SocketError> {
        self.stream.flush().await.map_err(write_failed)
    }

    /// Sends any text.
    ///
    /// # Errors
    /// [`SocketError::Write`].
    pub async fn send_text(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), SocketError> {
        self.send_message(Message::Text(text.into())).await
    }

    /// Sends any kind of WebSocket message.
    ///
    /// # Errors
    /// [`SocketError::Write`].
    pub async fn send_message(&mut self, message: Message) -> Result<(), SocketError> {
        self.stream.send(message).await.map_err(write_failed)
    }

    /// The next thing that comes, however long it takes.
    pub async fn receive(&mut self) -> Received {
        self.stream.next().await.into()
    }

    /// The next text frame's text.
    ///
    /// # Errors
    /// [`SocketError::Silent`] or [`SocketError::Closed`].
    pub async fn text(&mut self, within: Duration) -> Result<Utf8Bytes, SocketError> {
        let text = async {
            loop {
                match self.receive().await {
                    Received::Text(text) => return Ok(text),
                    Received::Closed(code) => return Err(SocketError::Closed(code)),
                    Received::Ping | Received::Other => {}
                }
            }
        };
        tokio::time::timeout(within, text).await.map_err(|_| SocketError::Silent(within))?
    }

    /// The next frame, parsed.
    ///
    /// # Errors
    /// [`SocketError::Unexpected`] for text that is no frame; else as [`Socket::text`].
    pub async fn frame(&mut self, within: Duration) -> Result<server::Frame, SocketError> {
        let text = self.text(within).await?;
        server::Frame::parse(&text)
            .map_err(|error| SocketError::Unexpected(format!("{error}: {text}")))
    }

    /// Skips frames until one is what is waited for.
    ///
    /// # Errors
    /// As [`Socket::frame`], the time counted over all of them.
    pub async fn until<T>(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(server::Frame) -> Option<T>,
    ) -> Result<T, SocketError> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.frame(left).await {
                Ok(frame) => {
                    if let Some(found) = wanted(frame) {
                        return Ok(found);
                    }
                }
                Err(SocketError::Silent(_)) => return Err(SocketError::Silent(within)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until the server closes; its close code.
    ///
    /// # Errors
    /// [`SocketError::Silent`] when it stays open.
    pub async fn closed(&mut self, within: Duration) -> Result<Option<u16>, SocketError> {
        let closed = async {
            loop {
                if let Received::Closed(code) = self.receive().await {
                    return code;
                }
            }
        };
        tokio::time::timeout(within, closed).await.map_err(|_| SocketError::Silent(within))
    }

    /// Writes what is outgoing, as far as the line takes it, until something
    /// comes; with `read` off, only writes. Can be cancelled at any time.
    pub(crate) async fn exchange(
        &mut self,
        outgoing: &mut VecDeque<Utf8Bytes>,
        read: bool,
    ) -> Received {
        poll_fn(|cx| {
            while self.stream.poll_ready_unpin(cx).is_ready()
                && let Some(text) = outgoing.pop_front()
            {
                // What fails to be written fails to be read, too: told below.
                let _ = self.stream.start_send_unpin(Message::Text(text));
            }
            let _ = self.stream.poll_flush_unpin(cx);
            if read { self.stream.poll_next_unpin(cx).map(Received::from) } else { Poll::Pending }
        })
        .await
    }

    /// Closes politely; what was fed is written first.
    ///
    /// # Errors
    /// [`SocketError::Write`].
    pub async fn close(&mut self) -> Result<(), SocketError> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        self.stream.close(Some(frame)).await.map_err(write_failed)
    }

    /// The TCP connection below, for tests that play with it.
    pub fn tcp(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

impl From<Option<Result<Message, tungstenite::Error>>> for Received {
    fn from(message: Option<Result<Message, tungstenite::Error>>) -> Self {
        match message {
            Some(Ok(Message::Text(text))) => Self::Text(text),
            Some(Ok(Message::Ping(_))) => Self::Ping,
            Some(Ok(Message::Close(frame))) => Self::Closed(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => Self::Other,
            Some(Err(_)) | None => Self::Closed(None),
        }
    }
}

fn write_failed(error: tungstenite::Error) -> SocketError {
    SocketError::Write(Box::new(error))
}
