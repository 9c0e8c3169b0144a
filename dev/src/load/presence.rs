//! People come online and stay: what their presence costs, and how soon
//! somebody who watches them is told.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use schemas::{
    UserId,
    server::{Frame, PresenceState},
};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    idle,
    latency::{Latency, Percentiles},
    options::Presence,
    people::{self, Person, Waiting},
    progress,
    target::{Cpu, Target},
    wire,
};
use crate::client::{Buffers, Socket};

/// How long the workers may be at it after the last of a crowd is connected.
const SETTLE: Duration = Duration::from_secs(5);
/// Longest wait for one change to be told.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PresenceReport {
    /// People online.
    pub(super) online: u32,
    /// CPU seconds per 1,000 of them, from the first connection until all are
    /// known to be online.
    pub(super) connecting: Cpu,
    /// Seconds they stayed.
    pub(super) held_seconds: u64,
    /// CPU seconds per second meanwhile.
    pub(super) held: Cpu,
    /// From a hello to the frame of who watches.
    pub(super) change_to_watcher: Percentiles,
    /// Connections that ended while they should not.
    pub(super) disconnected: u64,
}

/// Connects a crowd, lets it stay, and then has others come one by one.
///
/// # Errors
/// When they cannot be registered or connected, or a change is not told.
pub(super) async fn run(target: &Target, options: &Presence) -> anyhow::Result<PresenceReport> {
    let all = options.connections + options.changes + 1;
    let people = people::register(target.gateways(), all).await?;
    let (crowd, others) = people.split_at(options.connections as usize);
    let (watcher, visitors) = others.split_last().context("there is nobody")?;

    let before = target.cpu()?;
    let gateway_of = |n: usize| target.gateway(n).base().clone();
    let (connected, _) =
        people::connect(crowd, gateway_of, Buffers::SMALL, Waiting::Nothing).await?;
    let stop = CancellationToken::new();
    let (tracker, ended) = (TaskTracker::new(), idle::Ended::default());
    for connected in connected {
        tracker.spawn(idle::stay(connected, stop.clone(), ended.clone()));
    }
    sleep(SETTLE).await;
    let connecting = target.cpu()? - before;

    let before = target.cpu()?;
    let spinner = progress::spinner("holding");
    sleep(Duration::from_secs(options.hold)).await;
    spinner.finish_and_clear();
    let held = target.cpu()? - before;

    let changes = changes(target, watcher, visitors).await?;
    let disconnected = ended.count();
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    Ok(PresenceReport {
        online: options.connections,
        connecting: connecting.per_thousand(options.connections.into()),
        held_seconds: options.hold,
        held: held.per(options.hold as f64),
        change_to_watcher: changes.percentiles(),
        disconnected,
    })
}

/// Everybody comes online, one after the other.
async fn changes(
    target: &Target,
    watcher: &Person,
    visitors: &[Person],
) -> anyhow::Result<Latency> {
    let base = |n: usize| target.gateway(n).base();
    let watching =
        people::catch_up(base(0), &watcher.token, Buffers::BUSY, Waiting::Nothing).await?;
    let mut watching = watching.socket;
    let users: Vec<UserId> = visitors.iter().map(|visitor| visitor.user).collect();
    watching.send_text(json!({"type": "watch", "users": users}).to_string()).await?;
    let current = watching.text(TOLD_WITHIN).await?;
    let Frame::Presence { items } = Frame::parse(&current)? else { bail!("told {current}") };
    anyhow::ensure!(items.len() == users.len(), "{} of {} told", items.len(), users.len());

    let bar = progress::bar("coming online", users.len() as u64);
    let took = Latency::new();
    let mut stay = Vec::with_capacity(users.len());
    for (n, visitor) in visitors.iter().enumerate() {
        // On the watcher's gateway and on others in turn.
        let mut socket = Socket::connect(base(n), Buffers::SMALL).await?;
        let started = Instant::now();
        socket.send_text(wire::hello(&visitor.token)).await?;
        told(&mut watching, visitor.user).await?;
        took.record(n, started.elapsed());
        stay.push(socket);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(took)
}

/// Waits until the watcher is told that this user is online.
async fn told(watching: &mut Socket, user: UserId) -> anyhow::Result<()> {
    loop {
        let text = watching.text(TOLD_WITHIN).await?;
        let Frame::Presence { items } = Frame::parse(&text)? else { continue };
        if items.iter().any(|one| one.user == user && one.state == PresenceState::Online) {
            return Ok(());
        }
    }
}
