//! The task that owns the socket.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::ServerAddr;
use bytes::{Buf, BytesMut};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    Sink, Table, lock,
    wire::{self, Op},
    wire_sub,
};
use crate::options::{Credentials, NatsOptions};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// A server that is silent for this long is asked; silent again, it is left.
const SILENCE: Duration = Duration::from_secs(10);
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Who waits for each PONG, oldest first.
type Unanswered = VecDeque<Vec<oneshot::Sender<()>>>;

pub(super) struct Connection<S> {
    table: Arc<Table<S>>,
    servers: Vec<String>,
    credentials: Option<Credentials>,
    name: String,
}

#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("no server address is valid: {0}")]
    Address(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("timed out")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("{0}")]
    Protocol(#[from] wire::Malformed),
    #[error("the server says: {0}")]
    Server(String),
    #[error("silent for {} s", 2 * SILENCE.as_secs())]
    Silent,
}

/// A CONNECT's options, as the server spells them.
#[derive(Serialize)]
struct Hello<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'a str,
    lang: &'static str,
    version: &'static str,
    protocol: u8,
    echo: bool,
    headers: bool,
    no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
}

impl<S: Sink> Connection<S> {
    pub(super) fn new(table: Arc<Table<S>>, options: &NatsOptions, name: &str) -> Self {
        Self {
            table,
            servers: options.nats.clone(),
            credentials: options.credentials(),
            name: name.to_owned(),
        }
    }

    pub(super) async fn run(self) {
        let mut retry = FIRST_RETRY;
        for turn in 0.. {
            let server = &self.servers[turn % self.servers.len()];
            let started = Instant::now();
            let lost = match self.connect(server).await {
                Ok(link) => self.serve(link).await,
                Err(lost) => lost,
            };
            self.disconnected();
            tracing::warn!(reason = %lost, "subscriber connection to NATS lost");
            if started.elapsed() > LAST_RETRY {
                retry = FIRST_RETRY;
            }
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    async fn connect(&self, server: &str) -> Result<Link, Lost> {
        let address: ServerAddr =
            server.parse().map_err(|error| Lost::Address(format!("{error}")))?;
        let socket = timeout(CONNECT_TIMEOUT, TcpStream::connect((address.host(), address.port())))
            .await??;
        socket.set_nodelay(true)?;
        let mut link = Link { socket, buffer: BytesMut::with_capacity(READ_BUFFER_BYTES) };
        timeout(CONNECT_TIMEOUT, link.greet(&self.hello())).await??;
        Ok(link)
    }

    fn hello(&self) -> Hello<'_> {
        let (user, pass, auth_token) = match &self.credentials {
            Some(Credentials::User { name, password }) => (Some(name), Some(password), None),
            Some(Credentials::Token(token)) => (None, None, Some(token)),
            None => (None, None, None),
        };
        Hello {
            verbose: false,
            pedantic: false,
            tls_required: false,
            name: &self.name,
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: true,
            headers: true,
            no_responders: false,
            user: user.map(String::as_str),
            pass: pass.map(String::as_str),
            auth_token: auth_token.map(String::as_str),
        }
    }

    /// Subscribes to all that the table holds, then reads and writes until the
    /// connection is lost.
    async fn serve(&self, mut link: Link) -> Lost {
        let mut unanswered = Unanswered::new();
        self.connected();
        // Answered by the first PONG: from then on nothing is missed.
        let (resubscribed, mut is_resubscribed) = oneshot::channel();
        lock(&self.table.outgoing).flushes.push(resubscribed);
        let mut silent = false;
        let mut listen_until = Instant::now() + SILENCE;
        loop {
            if let Err(lost) = self.write(&mut link, &mut unanswered).await {
                return lost;
            }
            tokio::select! {
                read = link.socket.read_buf(&mut link.buffer) => {
                    match read {
                        Ok(0) => return Lost::Io(std::io::ErrorKind::UnexpectedEof.into()),
                        Ok(_) => {
                            silent = false;
                            listen_until = Instant::now() + SILENCE;
                        }
                        Err(error) => return error.into(),
                    }
                    if let Err(lost) = self.take(&mut link, &mut unanswered).await {
                        return lost;
                    }
                }
                () = self.table.wake.notified() => {}
                _ = &mut is_resubscribed, if !is_resubscribed.is_terminated() => self.announce_gap(),
                () = tokio::time::sleep_until(listen_until) => {
                    if std::mem::replace(&mut silent, true) {
                        return Lost::Silent;
                    }
                    listen_until = Instant::now() + SILENCE;
                    unanswered.push_back(Vec::new());
                    if let Err(error) = link.socket.write_all(b"PING\r\n").await {
                        return error.into();
                    }
                }
            }
        }
    }

    /// Writes the commands that have gathered, and one PING for all who flush.
    async fn write(&self, link: &mut Link, unanswered: &mut Unanswered) -> Result<(), Lost> {
        let commands = {
            let mut outgoing = lock(&self.table.outgoing);
            if !outgoing.flushes.is_empty() {
                outgoing.commands.extend_from_slice(b"PING\r\n");
                let flushes = std::mem::take(&mut outgoing.flushes);
                unanswered.push_back(flushes);
            }
            std::mem::take(&mut outgoing.commands)
        };
        if !commands.is_empty() {
            timeout(SILENCE, link.socket.write_all(&commands)).await??;
        }
        Ok(())
    }

    /// Takes every whole operation out of the read buffer.
    async fn take(&self, link: &mut Link, unanswered: &mut Unanswered) -> Result<(), Lost> {
        let mut taken = 0;
        let mut pings = 0;
        {
            // One lock for all that one read brought.
            let subscriptions = lock(&self.table.subscriptions);
            while let Some((op, length)) = wire::parse(&link.buffer[taken..])? {
                taken += length;
                match op {
                    Op::Message(delivery) => {
                        if let Some(entry) = subscriptions.get(&delivery.sid) {
                            entry.sink.deliver(delivery);
                        }
                    }
                    Op::Ping => pings += 1,
                    Op::Pong => {
                        for flushed in unanswered.pop_front().unwrap_or_default() {
                            // Whoever waited may have given up.
                            let _ = flushed.send(());
                        }
                    }
                    Op::Error(text) => return Err(Lost::Server(text.to_owned())),
                    Op::Info(_) | Op::Ok => {}
                }
            }
        }
        link.buffer.advance(taken);
        link.buffer.reserve(READ_BUFFER_BYTES / 2);
        for _ in 0..pings {
            link.socket.write_all(b"PONG\r\n").await?;
        }
        Ok(())
    }

    fn connected(&self) {
        let subscriptions = lock(&self.table.subscriptions);
        let mut outgoing = lock(&self.table.outgoing);
        outgoing.connected = true;
        outgoing.commands.clear();
        for (sid, entry) in subscriptions.iter() {
            wire_sub(&mut outgoing.commands, &entry.subject, *sid);
        }
    }

    fn disconnected(&self) {
        let mut outgoing = lock(&self.table.outgoing);
        outgoing.connected = false;
        outgoing.commands.clear();
    }

    fn announce_gap(&self) {
        for entry in lock(&self.table.subscriptions).values() {
            entry.sink.gap();
        }
    }
}

struct Link {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Link {
    /// INFO, CONNECT, PING, PONG.
    async fn greet(&mut self, hello: &Hello<'_>) -> Result<(), Lost> {
        let mut greeted = false;
        loop {
            while let Some((op, length)) = wire::parse(&self.buffer)? {
                match op {
                    Op::Info(_) if !greeted => {
                        greeted = true;
                        let hello = serde_json::to_string(hello).map_err(std::io::Error::other)?;
                        let text = format!("CONNECT {hello}\r\nPING\r\n");
                        self.socket.write_all(text.as_bytes()).await?;
                    }
                    Op::Pong => {
                        self.buffer.advance(length);
                        return Ok(());
                    }
                    Op::Ping => self.socket.write_all(b"PONG\r\n").await?,
                    Op::Error(text) => return Err(Lost::Server(text.to_owned())),
                    Op::Info(_) | Op::Ok | Op::Message(_) => {}
                }
                self.buffer.advance(length);
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}
