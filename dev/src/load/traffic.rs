//! People talk in pairs.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use anyhow::Context as _;
use serde::Serialize;
use tokio::{sync::Notify, task::JoinSet};

use super::{
    check::{self, Faults},
    latency::Percentiles,
    options::Traffic,
    pace,
    people::{self, Connected, Person, Waiting},
    person::{Outcome, Talker},
    process::per_second,
    run::{Run, Style},
    target::{Cpu, Target},
};
use crate::client::Buffers;

/// Messages per second, unless something else is asked for.
const RATE: u32 = 500;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TrafficReport {
    /// Connected people.
    pub(super) connections: u32,
    /// Messages per second that were planned; none: as fast as it goes.
    pub(super) rate: Option<u32>,
    /// Most undelivered messages per person, then.
    pub(super) window: Option<u32>,
    /// Bytes of each body.
    pub(super) body: u32,
    /// Seconds that were measured.
    pub(super) seconds: f64,
    /// Messages of the whole run.
    pub(super) messages: u64,
    /// Received per second, in the measured time.
    pub(super) received_per_second: f64,
    /// Whose Delivered tick came, per second, in the measured time.
    pub(super) delivered_per_second: f64,
    /// From the planned time to the Sent tick.
    pub(super) sent_to_tick: Percentiles,
    /// From the planned time to the recipient.
    pub(super) sent_to_received: Percentiles,
    /// From the planned time to the Delivered tick.
    pub(super) sent_to_delivered: Percentiles,
    /// How late the generator itself was; part of the other three.
    pub(super) generator_late: Percentiles,
    /// CPU seconds per 1,000 delivered messages.
    pub(super) cpu: Cpu,
    /// Cores that everything else on the machine took meanwhile: with more
    /// than a little, the figures say little.
    pub(super) others_cores: f64,
    /// What went wrong.
    pub(super) faults: Faults,
}

/// Lets people talk.
///
/// # Errors
/// When they cannot be registered or connected.
pub(super) async fn run(target: &Target, options: &Traffic) -> anyhow::Result<TrafficReport> {
    // Everyone has one to talk to.
    let connections = options.connections.next_multiple_of(2);
    let people = people::register(target.gateways(), connections).await?;
    talk(target, &people, options).await
}

/// Lets these people talk, whose number is even.
///
/// # Errors
/// When they cannot be connected.
pub(super) async fn talk(
    target: &Target,
    people: &[Person],
    options: &Traffic,
) -> anyhow::Result<TrafficReport> {
    let connections = u32::try_from(people.len()).unwrap_or(u32::MAX);
    let gateway_of = |n: usize| target.gateway(n).base().clone();
    let (connected, _) =
        people::connect(people, gateway_of, Buffers::BUSY, Waiting::Nothing).await?;

    let style = options.pace.style(RATE, connections);
    let run = Arc::new(Run::new(style, options.timing, options.pace.body));
    let mut talking = start(&run, people, connected)?;

    run.warmed_up().await;
    let before = target.cpu()?;
    run.watch().await;
    let cpu = target.cpu()? - before;
    run.drain(|counts| counts.over.load(Relaxed) >= counts.sent.load(Relaxed)).await;
    run.stop.cancel();

    let mut outcomes: Vec<Outcome> = people.iter().map(|_| Outcome::default()).collect();
    while let Some(joined) = talking.join_next().await {
        let (index, outcome) = joined.context("a person's task died")?;
        outcomes[index] = outcome;
    }
    Ok(report(&run, options, connections, cpu, outcomes))
}

fn start(
    run: &Arc<Run>,
    people: &[Person],
    connected: Vec<Connected>,
) -> anyhow::Result<JoinSet<(usize, Outcome)>> {
    let wake: Vec<Arc<Notify>> = people.iter().map(|_| Arc::default()).collect();
    let mut talking = JoinSet::new();
    for (index, connected) in connected.into_iter().enumerate() {
        let peer = people[index ^ 1].user.to_string();
        let talker = Talker::new(Arc::clone(run), index, peer);
        let wake = Arc::clone(&wake[index]);
        let start = run.start;
        talking.spawn(async move {
            tokio::time::sleep_until(start.into()).await;
            (index, talker.talk(connected, wake).await)
        });
    }
    if let Style::Planned(plan) = run.style {
        pace::start(plan, run.start, wake, run.stop.clone()).context("no thread for the plan")?;
    }
    Ok(talking)
}

fn report(
    run: &Run,
    options: &Traffic,
    connections: u32,
    cpu: Cpu,
    mut outcomes: Vec<Outcome>,
) -> TrafficReport {
    let mut faults = Faults::default();
    for index in 0..outcomes.len() {
        let sent = outcomes[index].sent.clone();
        check::settle(&sent, &outcomes[index ^ 1].received, &mut faults);
        faults += std::mem::take(&mut outcomes[index].faults);
    }
    let delivered = run.counts.delivered_in_time.load(Relaxed);
    let received = run.counts.received_in_time.load(Relaxed);
    TrafficReport {
        connections,
        rate: options.pace.rate(RATE),
        window: options.pace.window(),
        body: options.pace.body,
        seconds: options.timing.duration().as_secs_f64(),
        messages: run.counts.sent.load(Relaxed),
        received_per_second: per_second(received, options.timing.duration()),
        delivered_per_second: per_second(delivered, options.timing.duration()),
        sent_to_tick: run.ticked.percentiles(),
        sent_to_received: run.received.percentiles(),
        sent_to_delivered: run.delivered.percentiles(),
        generator_late: run.late.percentiles(),
        cpu: cpu.per_thousand(delivered),
        others_cores: cpu.others / options.timing.duration().as_secs_f64(),
        faults,
    }
}
