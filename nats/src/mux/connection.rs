//! The task that owns the connection.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::ServerAddr;
use bytes::Buf as _;
use tokio::{
    io::AsyncWriteExt as _,
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    Sink, Table,
    link::{Greeting, Link},
    lock,
    wire::{self, Op},
    wire_sub,
};
use crate::options::NatsOptions;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// A server that is silent for this long is asked; silent again, it is left.
const SILENCE: Duration = Duration::from_secs(10);

/// Who waits for each PONG, oldest first.
type Unanswered = VecDeque<Vec<oneshot::Sender<()>>>;

pub(super) struct Connection<S> {
    table: Arc<Table<S>>,
    servers: Vec<String>,
    greeting: Greeting,
}

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
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

impl<S: Sink> Connection<S> {
    pub(super) fn new(table: Arc<Table<S>>, options: &NatsOptions, name: &str) -> Self {
        let greeting = Greeting { name: name.to_owned(), credentials: options.credentials() };
        Self { table, servers: options.nats.clone(), greeting }
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
        timeout(CONNECT_TIMEOUT, Link::open(&address, &self.greeting)).await?
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
                read = link.read() => {
                    if let Err(error) = read {
                        return error.into();
                    }
                    silent = false;
                    listen_until = Instant::now() + SILENCE;
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
                    if let Err(error) = link.stream.write_all(b"PING\r\n").await {
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
            timeout(SILENCE, link.stream.write_all(&commands)).await??;
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
        for _ in 0..pings {
            link.stream.write_all(b"PONG\r\n").await?;
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
