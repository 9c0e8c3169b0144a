//! All people of one gateway lose it at once and come back on another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use reqwest::Url;
use serde::Serialize;
use tokio::{
    sync::{Barrier, watch},
    task::JoinSet,
};

use super::{
    check::{Faults, Received, Sent, settle},
    latency::{Latency, Percentiles},
    options::Reconnect,
    people::{self, Connected, Person, Waiting},
    progress,
    target::{Cpu, Target},
    wire::{self, Content},
};
use crate::client::{self, Buffers, Socket};

/// Bytes of the body of the message that shows that all is well again.
const BODY: usize = 120;
/// Wait before another try, doubled with each.
const RETRY: Duration = Duration::from_millis(200);
/// Tries, after which a person gives up.
const TRIES: u32 = 12;
/// From the welcome of all to the kill.
const QUIET: Duration = Duration::from_secs(3);
/// Longest wait for the message after, and its ticks.
const TALK_WITHIN: Duration = Duration::from_secs(60);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ReconnectReport {
    /// People on the gateway that was killed.
    pub(super) connections: u32,
    /// Milliseconds over which they spread their first try.
    pub(super) spread_ms: u64,
    /// From the kill until all were caught up, in seconds.
    pub(super) all_caught_up_seconds: f64,
    /// From the kill until each was caught up.
    pub(super) caught_up: Percentiles,
    /// Tries that failed and were made again.
    pub(super) retries: u64,
    /// CPU seconds from the kill until all were caught up.
    pub(super) cpu: Cpu,
    /// What went wrong, also in the message that each sent afterwards.
    pub(super) faults: Faults,
}

/// What all people share.
struct Storm {
    elsewhere: Url,
    spread: Duration,
    killed: watch::Receiver<Option<Instant>>,
    caught_up: Latency,
    back: AtomicU64,
    retries: AtomicU64,
    all_back: Barrier,
}

/// Kills a gateway under its people.
///
/// # Errors
/// When they cannot be registered or connected.
pub(super) async fn run(target: &Target, options: &Reconnect) -> anyhow::Result<ReconnectReport> {
    let Some(stack) = target.stack() else { bail!("reconnect needs its own stack") };
    let connections = options.connections.next_multiple_of(2);
    let people = people::register(target.gateways(), connections).await?;
    let here = target.gateway(0).base().clone();
    let (connected, _) =
        people::connect(&people, |_| here.clone(), Buffers::SMALL, Waiting::Nothing).await?;

    let (kill, killed) = watch::channel(None);
    let storm = Arc::new(Storm {
        elsewhere: target.gateway(1).base().clone(),
        spread: Duration::from_millis(options.spread),
        killed,
        caught_up: Latency::new(),
        back: AtomicU64::new(0),
        retries: AtomicU64::new(0),
        all_back: Barrier::new(connections as usize),
    });
    let mut tasks = JoinSet::new();
    for (n, connected) in connected.into_iter().enumerate() {
        let (person, peer) = (people[n].clone(), people[n ^ 1].clone());
        let storm = Arc::clone(&storm);
        tasks.spawn(async move { (n, storm.live(n, person, peer, connected).await) });
    }
    tokio::time::sleep(QUIET).await;
    let at = Instant::now();
    stack.gateways()[0].kill9().await;
    // What is dead is not counted: it would be missing afterwards.
    let before = target.cpu()?;
    kill.send(Some(at)).context("nobody lives")?;
    let all_caught_up_seconds = watch_return(&storm, connections, at).await;
    let cpu = target.cpu()? - before;

    let mut outcomes = Vec::new();
    outcomes.resize_with(people.len(), Outcome::default);
    while let Some(joined) = tasks.join_next().await {
        let (n, outcome) = joined.context("a person's task died")?;
        outcomes[n] = outcome;
    }
    let mut faults = Faults::default();
    for n in 0..outcomes.len() {
        settle(&outcomes[n].sent, &outcomes[n ^ 1].received, &mut faults);
        faults += std::mem::take(&mut outcomes[n].faults);
    }
    Ok(ReconnectReport {
        connections,
        spread_ms: options.spread,
        all_caught_up_seconds,
        caught_up: storm.caught_up.percentiles(),
        retries: storm.retries.load(Relaxed),
        cpu,
        faults,
    })
}

/// Waits until all are back or have given up; seconds since the kill.
async fn watch_return(storm: &Storm, connections: u32, killed: Instant) -> f64 {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let bar = progress::bar("coming back", connections.into());
    loop {
        let back = storm.back.load(Relaxed);
        bar.set_position(back);
        if back >= connections.into() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bar.finish_and_clear();
    killed.elapsed().as_secs_f64()
}

#[derive(Debug, Default)]
struct Outcome {
    sent: Sent,
    received: Received,
    faults: Faults,
}

impl Storm {
    /// Is there, loses the gateway, comes back, and says a word to the other.
    async fn live(&self, n: usize, me: Person, peer: Person, connected: Connected) -> Outcome {
        let Connected { mut socket, .. } = connected;
        while !matches!(socket.receive().await, client::Received::Closed(_)) {}
        drop(socket);
        let mut outcome = Outcome::default();
        let mut killed = self.killed.clone();
        let killed = match killed.wait_for(Option::is_some).await.map(|at| *at) {
            Ok(Some(at)) => at,
            _ => return outcome,
        };
        let back = self.come_back(&me).await;
        self.caught_up.record(n, killed.elapsed());
        self.back.fetch_add(1, Relaxed);
        self.all_back.wait().await;
        match back {
            Some(connected) => {
                let talked = talk(connected, &peer, &mut outcome);
                // What is missing after that shows in the outcome.
                let _ = tokio::time::timeout(TALK_WITHIN, talked).await;
            }
            None => outcome.faults.disconnected += 1,
        }
        outcome
    }

    async fn come_back(&self, me: &Person) -> Option<Connected> {
        tokio::time::sleep(self.spread.mul_f64(rand::random())).await;
        let mut wait = RETRY;
        for _ in 0..TRIES {
            match people::catch_up(&self.elsewhere, &me.token, Buffers::SMALL, Waiting::Nothing)
                .await
            {
                Ok(connected) => return Some(connected),
                Err(error) => tracing::debug!(user = %me.user, "not back yet: {error:#}"),
            }
            self.retries.fetch_add(1, Relaxed);
            tokio::time::sleep(wait.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
            wait *= 2;
        }
        None
    }
}

/// Sends one message and waits for its ticks and the other's message.
async fn talk(connected: Connected, peer: &Person, outcome: &mut Outcome) -> Option<()> {
    let Connected { mut socket, ahead_us } = connected;
    let at = schemas::Micros::now().0 + ahead_us;
    let content = Content { n: 0, due_us: 0 };
    let send = wire::send(&peer.chat().to_string(), content, at, 0, BODY);
    socket.send_text(send).await.ok()?;
    outcome.sent.sent = 1;
    let done = |outcome: &Outcome| {
        let sent = &outcome.sent;
        sent.ticked == 1 && sent.delivered >= sent.last_ts && outcome.received.count() == 1
    };
    while !done(outcome) {
        match socket.receive().await {
            client::Received::Text(text) => hear(&mut socket, &text, peer, outcome).await?,
            client::Received::Closed(_) => {
                outcome.faults.disconnected += 1;
                return None;
            }
            client::Received::Ping | client::Received::Other => {}
        }
    }
    Some(())
}

async fn hear(socket: &mut Socket, text: &str, peer: &Person, outcome: &mut Outcome) -> Option<()> {
    match wire::parse(text) {
        Ok(wire::Frame::Messages(items)) => {
            for item in &items {
                match item.content(BODY) {
                    Some(content) if item.from == peer.user.to_string() => {
                        outcome.received.take(content.n, item.ts, &mut outcome.faults);
                    }
                    _ => outcome.faults.corrupt += 1,
                }
            }
            socket.send_text(wire::ack(items.last()?.seq)).await.ok()?;
        }
        Ok(wire::Frame::Sent { ts, .. }) => {
            outcome.sent.ticked += 1;
            outcome.sent.last_ts = ts;
        }
        Ok(wire::Frame::Receipts(receipts)) => outcome.sent.delivered = wire::furthest(&receipts),
        Ok(wire::Frame::Error { code, .. }) => {
            outcome.faults.refused(&code);
            return None;
        }
        Ok(wire::Frame::CaughtUp | wire::Frame::Other) => {}
        Err(_) => outcome.faults.corrupt += 1,
    }
    Some(())
}
