//! One person comes back to a long backlog and acknowledges as they go.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use schemas::Micros;
use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    check::{Faults, Received, Sent, settle},
    options::Backlog,
    people::{self, Connected, Waiting},
    process::per_second,
    progress,
    target::{Cpu, Target},
    wire::{self, Content},
};
use crate::client::{Buffers, Socket};

/// Most unconfirmed messages per sender.
const IN_FLIGHT: u32 = 16;
/// Longest wait for the next frame.
const SILENCE: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BacklogReport {
    /// Messages that waited.
    pub(super) messages: u32,
    /// People who had sent them.
    pub(super) senders: u32,
    /// Bytes of each body.
    pub(super) body: u32,
    /// Messages stored per second, while nobody read.
    pub(super) stored_per_second: f64,
    /// From the reader's connection to `caught_up`, in seconds.
    pub(super) caught_up_seconds: f64,
    /// Messages read per second until then.
    pub(super) read_per_second: f64,
    /// From the reader's connection until all senders had their last Delivered
    /// tick, in seconds.
    pub(super) delivered_seconds: f64,
    /// CPU seconds per 1,000 messages, from the connection to the last tick.
    pub(super) cpu: Cpu,
    /// What went wrong.
    pub(super) faults: Faults,
}

/// Fills an inbox and reads it.
///
/// # Errors
/// When people cannot be registered or connected, or nothing comes any more.
pub(super) async fn run(target: &Target, options: &Backlog) -> anyhow::Result<BacklogReport> {
    let mut people = people::register(target.gateways(), options.senders + 1).await?;
    let reader = people.pop().context("nobody was registered")?;
    let gateway_of = |n: usize| target.gateway(n).base().clone();
    let (connected, _) =
        people::connect(&people, gateway_of, Buffers::BUSY, Waiting::Nothing).await?;

    let bar = progress::bar("storing", options.messages.into());
    let started = Instant::now();
    let mut storing = JoinSet::new();
    for (n, connected) in connected.into_iter().enumerate() {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let share =
            options.messages / options.senders + u32::from(n < options.messages % options.senders);
        let chat = reader.chat().to_string();
        let (body, bar) = (options.body as usize, bar.clone());
        storing.spawn(async move {
            (n as usize, Sender::store(connected, &chat, share, body, &bar).await)
        });
    }
    let senders = in_order(storing, people.len()).await?;
    bar.finish_and_clear();
    let stored_per_second = per_second(options.messages.into(), started.elapsed());

    let before = target.cpu()?;
    let started = Instant::now();
    let mut reading = Reading::new(options.body as usize);
    let base = target.gateway(people.len()).base();
    reading.catch_up(base, &reader.token).await?;
    let caught_up = started.elapsed();

    let mut waiting = JoinSet::new();
    for (n, sender) in senders.into_iter().enumerate() {
        waiting.spawn(async move { (n, sender.wait_delivered().await) });
    }
    let sent = in_order(waiting, people.len()).await?;
    let delivered_seconds = started.elapsed().as_secs_f64();
    let cpu = (target.cpu()? - before).per_thousand(options.messages.into());

    let mut faults = std::mem::take(&mut reading.faults);
    for (person, sent) in people.iter().zip(&sent) {
        let received = reading.from.remove(&person.user.to_string()).unwrap_or_default();
        settle(sent, &received, &mut faults);
    }
    Ok(BacklogReport {
        messages: options.messages,
        senders: options.senders,
        body: options.body,
        stored_per_second,
        caught_up_seconds: caught_up.as_secs_f64(),
        read_per_second: per_second(options.messages.into(), caught_up),
        delivered_seconds,
        cpu,
        faults,
    })
}

/// What the tasks found, by their number.
async fn in_order<T: 'static>(
    mut tasks: JoinSet<(usize, anyhow::Result<T>)>,
    count: usize,
) -> anyhow::Result<Vec<T>> {
    let mut found: Vec<Option<T>> = Vec::new();
    found.resize_with(count, || None);
    while let Some(joined) = tasks.join_next().await {
        let (n, result) = joined.context("a person's task died")?;
        found[n] = Some(result?);
    }
    Ok(found.into_iter().flatten().collect())
}

struct Sender {
    socket: Socket,
    sent: Sent,
}

impl Sender {
    /// Sends `count` messages and waits until all are stored.
    async fn store(
        connected: Connected,
        chat: &str,
        count: u32,
        body: usize,
        bar: &indicatif::ProgressBar,
    ) -> anyhow::Result<Self> {
        let Connected { mut socket, ahead_us } = connected;
        let mut sent = Sent::default();
        let mut last_at = 0;
        while sent.ticked < count {
            while sent.sent < count && sent.sent - sent.ticked < IN_FLIGHT {
                last_at = (Micros::now().0 + ahead_us).max(last_at + 1);
                let content = Content { n: sent.sent, due_us: 0 };
                let text = wire::send(chat, content, last_at, sent.last_ts, body);
                socket.feed_text(text).await?;
                sent.sent += 1;
            }
            socket.flush().await?;
            let text = socket.text(SILENCE).await?;
            match wire::parse(&text)? {
                wire::Frame::Sent { ts, .. } => {
                    sent.ticked += 1;
                    sent.last_ts = ts;
                    bar.inc(1);
                }
                wire::Frame::Error { code, .. } => bail!("a message was refused: {code}"),
                _ => {}
            }
        }
        Ok(Self { socket, sent })
    }

    /// Waits until the Delivered tick is at the last message. If it does not
    /// come, that is for the settling to see.
    async fn wait_delivered(mut self) -> anyhow::Result<Sent> {
        while self.sent.delivered < self.sent.last_ts {
            let Ok(text) = self.socket.text(SILENCE).await else { break };
            if let wire::Frame::Receipts(receipts) = wire::parse(&text)? {
                self.sent.delivered = wire::furthest(&receipts).max(self.sent.delivered);
            }
        }
        Ok(self.sent)
    }
}

struct Reading {
    body: usize,
    from: HashMap<String, Received>,
    faults: Faults,
}

impl Reading {
    fn new(body: usize) -> Self {
        Self { body, from: HashMap::new(), faults: Faults::default() }
    }

    /// Reads the whole backlog, acknowledging each frame.
    async fn catch_up(&mut self, base: &reqwest::Url, token: &str) -> anyhow::Result<()> {
        let (mut socket, _) = people::hello(base, token, Buffers::BUSY).await?;
        loop {
            let text = socket.text(SILENCE).await.context("the backlog does not end")?;
            match wire::parse(&text)? {
                wire::Frame::Messages(items) => {
                    if let Some(seq) = self.take(&items) {
                        socket.send_text(wire::ack(seq)).await?;
                    }
                }
                wire::Frame::CaughtUp => break,
                wire::Frame::Error { code, .. } => self.faults.refused(&code),
                _ => {}
            }
        }
        // The last ack is on its way: a polite end lets it arrive.
        socket.close().await?;
        Ok(())
    }

    fn take(&mut self, items: &[wire::Item<'_>]) -> Option<u64> {
        for item in items {
            let Some(content) = item.content(self.body) else {
                self.faults.corrupt += 1;
                continue;
            };
            if !self.from.contains_key(item.from) {
                self.from.insert(item.from.to_owned(), Received::default());
            }
            if let Some(received) = self.from.get_mut(item.from) {
                received.take(content.n, item.ts, &mut self.faults);
            }
        }
        items.last().map(|item| item.seq)
    }
}
