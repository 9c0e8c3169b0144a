//! People are connected and say nothing: what that costs in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Serialize;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    latency::Percentiles,
    options::{Idle, Role},
    people::{self, Connected, Waiting},
    process::per_second,
    progress,
    target::Target,
};
use crate::client::{Buffers, Received};

/// Memory that changes less than this between two looks is at rest.
const AT_REST: u64 = 256 * 1024;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks in a row make it settled.
const SETTLED_LOOKS: u32 = 4;
/// Longest wait for that.
const SETTLE_WITHIN: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct IdleReport {
    /// Connected people.
    pub(super) connections: u32,
    /// Connections made per second.
    pub(super) connects_per_second: f64,
    /// From the connection to `caught_up`.
    pub(super) connect: Percentiles,
    /// Seconds they stayed.
    pub(super) held_seconds: u64,
    /// Of all gateways.
    pub(super) gateways: Memory,
    /// Of all nats-servers.
    pub(super) nats: Memory,
    /// Connections that ended while they should not.
    pub(super) disconnected: u64,
}

/// Resident memory in bytes, each time when it had settled.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Memory {
    /// Before anybody was connected.
    pub(super) before: u64,
    /// The control: as long later as the people will stay, and nobody there.
    pub(super) control: u64,
    /// With everybody connected.
    pub(super) connected: u64,
    /// After they had stayed.
    pub(super) held: u64,
    /// After they had gone.
    pub(super) after: u64,
    /// What one connection takes: the greater of the two with everybody
    /// connected, less the control.
    pub(super) per_connection: f64,
}

#[derive(Clone, Copy)]
struct Look {
    gateways: u64,
    nats: u64,
}

/// Connects people and looks at the memory.
///
/// # Errors
/// When they cannot be registered or connected.
pub(super) async fn run(target: &Target, options: &Idle) -> anyhow::Result<IdleReport> {
    let people = people::register(target.gateways(), options.connections).await?;
    // What the registrations left in the gateways' heaps would hide a part of
    // what the connections take.
    if let Some(stack) = target.stack() {
        for gateway in stack.gateways() {
            gateway.restart().await.context("cannot restart a gateway")?;
        }
    }
    let hold = Duration::from_secs(options.hold);
    let before = settled(target, "settling").await;
    wait("control", hold).await;
    let control = settled(target, "settling").await;

    let started = Instant::now();
    let gateway_of = |n: usize| target.gateway(n).base().clone();
    let (connected, connect) =
        people::connect(&people, gateway_of, Buffers::SMALL, Waiting::Nothing).await?;
    let connecting = started.elapsed();

    let stop = CancellationToken::new();
    let (tracker, ended) = (TaskTracker::new(), Ended::default());
    for connected in connected {
        tracker.spawn(stay(connected, stop.clone(), ended.clone()));
    }
    let all_connected = settled(target, "settling").await;
    wait("holding", hold).await;
    let held = settled(target, "settling").await;
    let disconnected = ended.count();
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    let after = settled(target, "settling").await;

    let memory = |of: fn(Look) -> u64| {
        let most = of(all_connected).max(of(held));
        Memory {
            before: of(before),
            control: of(control),
            connected: of(all_connected),
            held: of(held),
            after: of(after),
            per_connection: most.saturating_sub(of(control)) as f64
                / f64::from(options.connections),
        }
    };
    Ok(IdleReport {
        connections: options.connections,
        connects_per_second: per_second(options.connections.into(), connecting),
        connect: connect.percentiles(),
        held_seconds: options.hold,
        gateways: memory(|look| look.gateways),
        nats: memory(|look| look.nats),
        disconnected,
    })
}

/// How many connections ended by themselves; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ended(Arc<AtomicU64>);

impl Ended {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Stays connected, answering pings.
pub(super) async fn stay(mut connected: Connected, stop: CancellationToken, ended: Ended) {
    let closed =
        async { while !matches!(connected.socket.receive().await, Received::Closed(_)) {} };
    if stop.run_until_cancelled(closed).await.is_some() {
        ended.0.fetch_add(1, Relaxed);
        return;
    }
    // It is over: how the socket ends does not matter.
    let _ = connected.socket.close().await;
}

fn look(target: &Target) -> Look {
    Look { gateways: target.usage(Role::Gateway).rss, nats: target.usage(Role::Nats).rss }
}

/// Waits until the memory is at rest.
async fn settled(target: &Target, what: &'static str) -> Look {
    let spinner = progress::spinner(what);
    let deadline = Instant::now() + SETTLE_WITHIN;
    let (mut last, mut at_rest) = (look(target), 0);
    while at_rest < SETTLED_LOOKS && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = look(target);
        let moved = now.gateways.abs_diff(last.gateways).max(now.nats.abs_diff(last.nats));
        at_rest = if moved < AT_REST { at_rest + 1 } else { 0 };
        last = now;
    }
    spinner.finish_and_clear();
    last
}

async fn wait(what: &'static str, time: Duration) {
    let spinner = progress::spinner(what);
    tokio::time::sleep(time).await;
    spinner.finish_and_clear();
}
