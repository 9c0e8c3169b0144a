//! People talk in pairs.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Serialize;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    check::{self, Faults},
    latency::{Latency, Percentiles},
    options::Traffic,
    pace::{self, Plan},
    people::{self, Connected, Person},
    person::{Counts, Outcome, Run, Style, Talker},
    process::per_second,
    progress,
    target::{Cpu, Target},
};
use crate::client::Buffers;

/// Longest wait for the last messages' Delivered ticks.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether they came, and the progress is shown.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// From the last preparations to the first message.
const LEAD: Duration = Duration::from_millis(200);

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
    let gateway_of = |n: usize| target.gateway(n).base().clone();
    let (connected, _) = people::connect(&people, gateway_of, Buffers::BUSY).await?;

    let run = Arc::new(new_run(options, connections));
    let mut talking = start(&run, &people, connected)?;

    tokio::time::sleep_until((run.start + options.warm_up()).into()).await;
    let before = target.cpu()?;
    watch(&run, options).await;
    let cpu = target.cpu()? - before;
    drain(&run).await;
    run.stop.cancel();

    let mut outcomes: Vec<Outcome> = people.iter().map(|_| Outcome::default()).collect();
    while let Some(joined) = talking.join_next().await {
        let (index, outcome) = joined.context("a person's task died")?;
        outcomes[index] = outcome;
    }
    Ok(report(&run, options, connections, cpu, outcomes))
}

fn new_run(options: &Traffic, people: u32) -> Run {
    let style = if options.flat_out {
        Style::Window(options.window)
    } else {
        Style::Planned(Plan { rate: options.rate, people })
    };
    Run {
        start: Instant::now() + LEAD,
        style,
        measured_us: measured_us(options),
        body_bytes: options.body as usize,
        stop: CancellationToken::new(),
        counts: Counts::default(),
        ticked: Latency::new(),
        received: Latency::new(),
        delivered: Latency::new(),
        late: Latency::new(),
    }
}

fn measured_us(options: &Traffic) -> Range<u64> {
    let from = options.warm_up * 1_000_000;
    from..from + options.duration * 1_000_000
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

/// Shows how it goes until the measured time is over.
async fn watch(run: &Run, options: &Traffic) {
    let end = run.start + options.warm_up() + options.duration();
    let bar = progress::bar("talking", options.duration);
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        let passed = options.duration().saturating_sub(end - now);
        let delivered = run.counts.delivered_in_time.load(Relaxed);
        bar.set_position(passed.as_secs());
        bar.set_message(format!("s, {:.0} delivered per second", per_second(delivered, passed)));
        tokio::time::sleep((end - now).min(LOOK_EVERY)).await;
    }
    bar.finish_and_clear();
}

/// Waits for the last messages.
async fn drain(run: &Run) {
    let bar = progress::spinner("draining");
    let deadline = Instant::now() + DRAIN_WITHIN;
    while run.counts.over.load(Relaxed) < run.counts.sent.load(Relaxed) && Instant::now() < deadline
    {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bar.finish_and_clear();
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
        rate: (!options.flat_out).then_some(options.rate),
        window: options.flat_out.then_some(options.window),
        body: options.body,
        seconds: options.duration().as_secs_f64(),
        messages: run.counts.sent.load(Relaxed),
        received_per_second: per_second(received, options.duration()),
        delivered_per_second: per_second(delivered, options.duration()),
        sent_to_tick: run.ticked.percentiles(),
        sent_to_received: run.received.percentiles(),
        sent_to_delivered: run.delivered.percentiles(),
        generator_late: run.late.percentiles(),
        cpu: cpu.per_thousand(delivered),
        others_cores: cpu.others / options.duration().as_secs_f64(),
        faults,
    }
}
