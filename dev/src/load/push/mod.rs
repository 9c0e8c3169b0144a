//! People who are away are woken: how fast, how soon, and at what cost; and
//! what it costs of people who are connected that they could be.
//!
//! The receiver believes what comes and counts it, so that little of the
//! machine's time is its own.

mod sender;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use schemas::PushTarget;
use serde::Serialize;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::sender::{Letter, Sender, Sending, Written};
use super::{
    check::Faults,
    latency::{Latency, Percentiles},
    options::Push,
    pace,
    people::{self, Connected, Person, Waiting},
    process::per_second,
    progress,
    run::Style,
    target::{Cpu, Target},
    traffic::{self, TrafficReport},
};
use crate::{client::Buffers, push_receiver::PushReceiver};

/// Messages per second, unless something else is asked for.
const RATE: u32 = 100;
/// Targets being set at once.
const SETTING: usize = 32;
/// Longest wait until a worker has told with which key browsers subscribe.
const KEY_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for one more push.
const SILENCE: Duration = Duration::from_secs(60);
/// For how long it is seen after the last whether one comes that should not;
/// longer than the grace of who seems to be connected.
const AFTERWARDS: Duration = Duration::from_secs(7);
/// From the last preparations to the first message.
const LEAD: Duration = Duration::from_millis(200);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PushReport {
    /// Of people who were away.
    Away(Box<Woken>),
    /// Of people who were connected.
    Connected(Box<Grace>),
}

/// People who were away were woken.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Woken {
    /// How many; each got one message.
    pub(super) people: u32,
    /// Who sent them.
    pub(super) senders: u32,
    /// Messages per second that were planned; none: as fast as it goes.
    pub(super) rate: Option<u32>,
    /// Most unconfirmed messages per sender, then.
    pub(super) window: Option<u32>,
    /// Bytes of each body.
    pub(super) body: u32,
    /// Pushes that came.
    pub(super) pushes: u64,
    /// Per second, from the first message to the last push.
    pub(super) pushes_per_second: f64,
    /// For each message that was stored; 1 is right.
    pub(super) pushes_per_message: f64,
    /// From the planned time to the Sent tick.
    pub(super) sent_to_tick: Percentiles,
    /// From the planned time to the receiver.
    pub(super) sent_to_pushed: Percentiles,
    /// From the Sent tick to the receiver.
    pub(super) tick_to_pushed: Percentiles,
    /// How late the generator itself was; part of the first two.
    pub(super) generator_late: Percentiles,
    /// CPU seconds per 1,000 pushes, from the first message to the last push.
    pub(super) cpu: Cpu,
    /// Cores that everything else on the machine took meanwhile.
    pub(super) others_cores: f64,
    /// What went wrong.
    pub(super) faults: Faults,
}

/// People were connected, and could have been woken.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Grace {
    /// While nobody could be woken.
    pub(super) without: TrafficReport,
    /// While everybody could.
    pub(super) with: TrafficReport,
    /// CPU of workers with, as a multiple of that without.
    pub(super) workers_ratio: f64,
    /// CPU of nats-servers with, as a multiple of that without.
    pub(super) nats_ratio: f64,
    /// Pushes that came, of which there should be none.
    pub(super) pushes: u64,
}

impl PushReport {
    /// Whether nothing went wrong.
    pub(super) fn is_well(&self) -> bool {
        match self {
            Self::Away(woken) => woken.faults.is_none(),
            Self::Connected(it) => {
                it.without.faults.is_none() && it.with.faults.is_none() && it.pushes == 0
            }
        }
    }
}

/// Wakes people who are away, or lets people talk who need not be woken.
///
/// # Errors
/// When people cannot be registered or connected, or nothing comes any more.
pub(super) async fn run(
    target: &Target,
    receiver: &PushReceiver,
    options: &Push,
) -> anyhow::Result<PushReport> {
    if options.connected {
        return Ok(PushReport::Connected(Box::new(connected(target, receiver, options).await?)));
    }
    let people = people::register(target.gateways(), options.people).await?;
    let browsers = in_browsers(target, receiver, &people).await?;
    Ok(PushReport::Away(Box::new(away(target, receiver, options, &people, &browsers).await?)))
}

/// The same traffic twice, of two crowds of which the second could be woken.
async fn connected(
    target: &Target,
    receiver: &PushReceiver,
    options: &Push,
) -> anyhow::Result<Grace> {
    let talk = options.traffic();
    let people = people::register(target.gateways(), 2 * talk.connections).await?;
    let (plain, wakeable) = people.split_at(talk.connections as usize);
    in_browsers(target, receiver, wakeable).await?;
    let without = traffic::talk(target, plain, &talk).await?;
    let with = traffic::talk(target, wakeable, &talk).await?;
    let spinner = progress::spinner("listening");
    sleep(AFTERWARDS).await;
    spinner.finish_and_clear();
    Ok(Grace {
        workers_ratio: with.cpu.workers / without.cpu.workers,
        nats_ratio: with.cpu.nats / without.cpu.nats,
        pushes: receiver.accepted(),
        without,
        with,
    })
}

/// Everybody's device is woken as a browser is from now on.
async fn in_browsers(
    target: &Target,
    receiver: &PushReceiver,
    people: &[Person],
) -> anyhow::Result<Vec<PushTarget>> {
    let key = timeout(KEY_WITHIN, vapid(target)).await.context("no key for web push")??;
    let bar = progress::bar("subscribing", people.len() as u64);
    let targets = stream::iter(people.iter().enumerate())
        .map(|(n, person)| {
            let (browser, bar) = (receiver.browser(&key), &bar);
            async move {
                let api = target.gateway(n);
                api.set_push(&person.token, person.device, Some(&browser)).await?;
                bar.inc(1);
                Ok::<_, anyhow::Error>(browser)
            }
        })
        .buffered(SETTING)
        .try_collect()
        .await
        .context("cannot subscribe people");
    bar.finish_and_clear();
    targets
}

/// The key that browsers subscribe with, as soon as a worker has told it.
async fn vapid(target: &Target) -> anyhow::Result<String> {
    loop {
        if let Some(key) = target.gateway(0).vapid_key().await? {
            return Ok(key);
        }
        sleep(ASK_EVERY).await;
    }
}

async fn away(
    target: &Target,
    receiver: &PushReceiver,
    options: &Push,
    people: &[Person],
    browsers: &[PushTarget],
) -> anyhow::Result<Woken> {
    let senders = people::register(target.gateways(), options.senders).await?;
    let gateway_of = |n: usize| target.gateway(n).base().clone();
    let (connected, _) =
        people::connect(&senders, gateway_of, Buffers::BUSY, Waiting::Nothing).await?;
    let sending = Arc::new(Sending {
        start: Instant::now() + LEAD,
        style: options.pace.style(RATE, options.senders),
        body_bytes: options.pace.body as usize,
        late: Latency::new(),
        ticked: Latency::new(),
    });
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let before = target.cpu()?;
    let writing = start(&sending, people, connected, stop)?;
    let all = written(writing, people.len());
    let (written, ()) = tokio::join!(all, pushed(receiver, people.len() as u64));
    let (cpu, measured) = (target.cpu()? - before, sending.start.elapsed());
    let Written { letters, faults } = written?;
    let spinner = progress::spinner("listening");
    sleep(AFTERWARDS).await;
    spinner.finish_and_clear();
    let woken = woken(receiver, options, &sending, &letters, browsers, faults);
    Ok(Woken {
        cpu: cpu.per_thousand(woken.pushes),
        others_cores: cpu.others / measured.as_secs_f64(),
        ..woken
    })
}

/// Lets senders write, each to every so manieth of the people.
fn start(
    sending: &Arc<Sending>,
    people: &[Person],
    connected: Vec<Connected>,
    stop: CancellationToken,
) -> anyhow::Result<JoinSet<(usize, anyhow::Result<Written>)>> {
    let senders = connected.len();
    let wake: Vec<Arc<Notify>> = connected.iter().map(|_| Arc::default()).collect();
    let mut writing = JoinSet::new();
    for (n, connected) in connected.into_iter().enumerate() {
        let theirs = people.iter().skip(n).step_by(senders);
        let chats = theirs.map(|person| person.chat().to_string()).collect();
        let sender = Sender::new(sending.clone(), u32::try_from(n).unwrap_or(u32::MAX), chats);
        let (wake, start) = (Arc::clone(&wake[n]), sending.start);
        writing.spawn(async move {
            tokio::time::sleep_until(start.into()).await;
            (n, sender.write(connected, wake).await)
        });
    }
    if let Style::Planned(plan) = sending.style {
        pace::start(plan, sending.start, wake, stop).context("no thread for the plan")?;
    }
    Ok(writing)
}

/// Waits until so many pushes came, or none comes any more.
async fn pushed(receiver: &PushReceiver, all: u64) {
    let bar = progress::bar("waking", all);
    let mut count = 0;
    while count < all && receiver.accepts(count + 1, SILENCE).await {
        count = receiver.accepted();
        bar.set_position(count);
    }
    bar.finish_and_clear();
}

/// All messages, in the order of the people.
async fn written(
    mut writing: JoinSet<(usize, anyhow::Result<Written>)>,
    people: usize,
) -> anyhow::Result<Written> {
    let senders = writing.len();
    let mut of: Vec<VecDeque<Letter>> = vec![VecDeque::new(); senders];
    let mut faults = Faults::default();
    while let Some(joined) = writing.join_next().await {
        let (n, written) = joined.context("a sender's task died")?;
        let written = written?;
        of[n] = written.letters.into();
        faults += written.faults;
    }
    let mut letters = Vec::with_capacity(people);
    for n in 0..people {
        let Some(letter) = of[n % senders].pop_front() else { bail!("somebody got no message") };
        letters.push(letter);
    }
    Ok(Written { letters, faults })
}

fn woken(
    receiver: &PushReceiver,
    options: &Push,
    sending: &Sending,
    letters: &[Letter],
    browsers: &[PushTarget],
    mut faults: Faults,
) -> Woken {
    let (from_sent, from_tick) = (Latency::new(), Latency::new());
    let (mut pushes, mut stored, mut last) = (0, 0_u64, sending.start);
    for (n, (letter, browser)) in letters.iter().zip(browsers).enumerate() {
        let Some(ticked) = letter.stored else { continue };
        stored += 1;
        let requests = receiver.requests(browser);
        pushes += requests;
        faults.doubled += requests.saturating_sub(1);
        let Some(at) = receiver.accepted_at(browser) else {
            faults.lost += 1;
            continue;
        };
        from_sent.record(n, at.saturating_duration_since(letter.due));
        from_tick.record(n, at.saturating_duration_since(ticked));
        last = last.max(at);
    }
    Woken {
        people: options.people,
        senders: options.senders,
        rate: options.pace.rate(RATE),
        window: options.pace.window(),
        body: options.pace.body,
        pushes,
        pushes_per_second: per_second(pushes, last - sending.start),
        pushes_per_message: pushes as f64 / stored.max(1) as f64,
        sent_to_tick: sending.ticked.percentiles(),
        sent_to_pushed: from_sent.percentiles(),
        tick_to_pushed: from_tick.percentiles(),
        generator_late: sending.late.percentiles(),
        cpu: Cpu::default(),
        others_cores: 0.0,
        faults,
    }
}
