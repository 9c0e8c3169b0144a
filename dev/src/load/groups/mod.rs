//! People talk in groups: how long it takes until the last has a message, and
//! what is written, computed and held in memory for it.

mod member;
mod phase;
mod roll;
mod voice;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Serialize;
use tokio::{sync::Notify, task::JoinSet};

use self::{
    member::Member,
    phase::{Board, Phase},
    roll::Roll,
};
use super::{
    check::Faults,
    latency::Percentiles,
    options::Groups,
    pace,
    people::{self, Connected, Person, Waiting},
    process::per_second,
    run::{Run, Style},
    target::{Cpu, Target},
    writes::{Amplification, Streams, Writes},
};
use crate::client::Buffers;

/// Messages per second, unless something else is asked for.
const RATE: u32 = 20;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct GroupsReport {
    /// How many groups.
    pub(super) groups: u32,
    /// Members of each.
    pub(super) size: u32,
    /// Connected people.
    pub(super) people: u32,
    /// Members of each group who talk.
    pub(super) speakers: u32,
    /// People with a slow socket, members of every group.
    pub(super) slow_readers: u32,
    /// Milliseconds between two frames that they take.
    pub(super) pause_ms: u64,
    /// Messages per second that were planned; none: as fast as it goes.
    pub(super) rate: Option<u32>,
    /// Most messages per voice that somebody has not got, then.
    pub(super) window: Option<u32>,
    /// Bytes of each body.
    pub(super) body: u32,
    /// Seconds that were measured.
    pub(super) seconds: f64,
    /// While all are quick.
    pub(super) quickly: Measured,
    /// While the slow ones are slow.
    pub(super) slowly: Option<Measured>,
    /// What went wrong.
    pub(super) faults: Faults,
}

/// One measured time. Latencies are those of the quick members.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    /// Messages to groups, before and after the measured time included.
    pub(super) messages: u64,
    /// Received per second by all members.
    pub(super) received_per_second: f64,
    /// Whose Delivered watermark came back, per second.
    pub(super) delivered_per_second: f64,
    /// Deleted from inboxes per second.
    pub(super) deleted_per_second: Option<f64>,
    /// From the planned time to the Sent tick.
    pub(super) sent_to_tick: Percentiles,
    /// From the planned time to each recipient.
    pub(super) sent_to_received: Percentiles,
    /// From the planned time to the last recipient.
    pub(super) sent_to_last_received: Percentiles,
    /// From the planned time until the sender knows that all have it.
    pub(super) sent_to_all_delivered: Percentiles,
    /// How late the generator itself was; part of the others.
    pub(super) generator_late: Percentiles,
    /// CPU seconds per 1,000 delivered messages.
    pub(super) cpu: Cpu,
    /// Cores that everything else on the machine took meanwhile.
    pub(super) others_cores: f64,
    /// JetStream writes per delivered message, from the first to the last.
    pub(super) amplification: Option<Amplification>,
    /// Bytes of resident memory of all gateways before the first message.
    pub(super) gateways_before: u64,
    /// At most, in the measured time.
    pub(super) gateways_most: u64,
    /// Messages that slow members had not taken at the end of the measured time.
    pub(super) slow_behind: u64,
}

/// Lets people talk in groups.
///
/// # Errors
/// When they cannot be registered, brought together or connected.
pub(super) async fn run(target: &Target, options: &Groups) -> anyhow::Result<GroupsReport> {
    let mut crowd = Crowd::gather(target, options).await?;
    let quickly = crowd.talk(None).await?;
    let mut slowly = None;
    if options.slow > 0 {
        slowly = Some(crowd.talk(Some(Duration::from_millis(options.pause))).await?);
    }
    let people = options.quick_people() + options.slow;
    Ok(GroupsReport {
        groups: options.groups,
        size: options.size,
        people,
        speakers: options.speakers(),
        slow_readers: options.slow,
        pause_ms: options.pause,
        rate: options.pace.rate(RATE),
        window: options.pace.window(),
        body: options.pace.body,
        seconds: options.timing.duration().as_secs_f64(),
        quickly,
        slowly,
        faults: crowd.settle(),
    })
}

/// The people and their groups.
struct Crowd<'a> {
    target: &'a Target,
    options: &'a Groups,
    /// None of a Petrel that was given: its NATS is not known.
    streams: Option<Streams>,
    roll: Arc<Roll>,
    members: Vec<Member>,
    undeleted: u64,
}

impl<'a> Crowd<'a> {
    async fn gather(target: &'a Target, options: &'a Groups) -> anyhow::Result<Self> {
        let quick = options.quick_people();
        let people = people::register(target.gateways(), quick + options.slow).await?;
        let roll = Arc::new(Roll::make(target, &people, options).await?);
        let board = Arc::new(Board::new(&roll));
        // That the groups were made waits for them.
        let connected = connect(target, &people).await?;
        let member = |(n, connected)| Member::new(n, n >= quick as usize, &roll, &board, connected);
        let members = connected.into_iter().enumerate().map(member).collect();
        let streams = match target.stack() {
            Some(stack) => Some(Streams::of(stack).await?),
            None => None,
        };
        Ok(Self { target, options, streams, roll, members, undeleted: 0 })
    }

    /// One measured time.
    async fn talk(&mut self, pause: Option<Duration>) -> anyhow::Result<Measured> {
        let Self { target, options, .. } = *self;
        let before = self.emptied().await?;
        let gateways_before = target.held().gateways;
        let phase = Arc::new(self.phase(pause));
        let mut living = self.start(&phase)?;

        phase.run.warmed_up().await;
        let (cpu, first, started) = (target.cpu()?, self.writes().await?, Instant::now());
        let ((), most) = target.most_held(phase.run.watch()).await;
        let (cpu, last, took) = (target.cpu()? - cpu, self.writes().await?, started.elapsed());
        let slow_behind = self.behind(&phase);

        phase.hurry.cancel();
        let each = u64::from(options.size - 1);
        let all = |delivered: u64| delivered >= phase.run.counts.sent.load(Relaxed) * each;
        phase.run.drain(|_| all(phase.delivered.load(Relaxed))).await;
        phase.run.stop.cancel();
        while let Some(joined) = living.join_next().await {
            self.members.push(joined.context("a person's task died")?);
        }
        let after = self.emptied().await?;

        let delivered = phase.delivered.load(Relaxed);
        let deleted = first.zip(last).map(|(first, last)| (last - first).deleted);
        let writes = before.zip(after).map(|(before, after)| after - before);
        Ok(Measured {
            deleted_per_second: deleted.map(|deleted| per_second(deleted, took)),
            amplification: writes.map(|writes| writes.per(delivered)),
            gateways_before,
            gateways_most: most.gateways,
            slow_behind,
            ..phase.measured(options.timing.duration(), cpu)
        })
    }

    fn phase(&self, pause: Option<Duration>) -> Phase {
        let Groups { pace, timing, .. } = *self.options;
        let voices = u32::try_from(self.roll.voices()).unwrap_or(u32::MAX);
        Phase::new(Run::new(pace.style(RATE, voices), timing, pace.body), pause)
    }

    fn start(&mut self, phase: &Arc<Phase>) -> anyhow::Result<JoinSet<Member>> {
        let wake: Vec<Arc<Notify>> = self.members.iter().map(|_| Arc::default()).collect();
        let mut living = JoinSet::new();
        for member in self.members.drain(..) {
            let wake = Arc::clone(&wake[member.number()]);
            living.spawn(member.live(Arc::clone(phase), wake));
        }
        if let Style::Planned(plan) = phase.run.style {
            let groups = self.roll.groups();
            let of_voice = |voice| {
                let group: &roll::Group = &groups[voice % groups.len()];
                Arc::clone(&wake[group.people[voice / groups.len()]])
            };
            let wake = (0..self.roll.voices()).map(of_voice).collect();
            pace::start(plan, phase.run.start, wake, phase.run.stop.clone())
                .context("no thread for the plan")?;
        }
        Ok(living)
    }

    /// What was written when nothing lies in the inboxes.
    async fn emptied(&mut self) -> anyhow::Result<Option<Writes>> {
        let Some(streams) = &self.streams else { return Ok(None) };
        self.undeleted += streams.emptied().await?;
        streams.writes().await.map(Some)
    }

    async fn writes(&self) -> anyhow::Result<Option<Writes>> {
        match &self.streams {
            Some(streams) => streams.writes().await.map(Some),
            None => Ok(None),
        }
    }

    fn behind(&self, phase: &Phase) -> u64 {
        let sent = phase.run.counts.sent.load(Relaxed) * u64::from(self.options.slow);
        sent.saturating_sub(phase.taken_slowly.load(Relaxed))
    }

    /// What went wrong, when all is over.
    fn settle(mut self) -> Faults {
        self.members.sort_by_key(Member::number);
        let mut faults = Faults { undeleted: self.undeleted, ..Faults::default() };
        for (n, group) in self.roll.groups().iter().enumerate() {
            for speaker in 0..self.roll.speakers() {
                for (reader, person) in group.people.iter().enumerate() {
                    let talker = self.members[group.people[speaker]].place(n);
                    let talk = talker.and_then(|place| place.voice.as_ref());
                    let reads = self.members[*person].place(n);
                    if let (Some(talk), Some(reads), true) = (talk, reads, reader != speaker) {
                        talk.voice.settle(reader, &reads.received[speaker], &mut faults);
                    }
                }
            }
        }
        for member in &mut self.members {
            faults += std::mem::take(&mut member.faults);
        }
        faults
    }
}

async fn connect(target: &Target, people: &[Person]) -> anyhow::Result<Vec<Connected>> {
    let gateway_of = |n: usize| target.gateway(n).base().clone();
    let (connected, _) =
        people::connect(people, gateway_of, Buffers::BUSY, Waiting::Anything).await?;
    Ok(connected)
}

impl Phase {
    fn measured(&self, seconds: Duration, cpu: Cpu) -> Measured {
        let Run { counts, ticked, received, delivered, late, .. } = &self.run;
        let in_time = counts.delivered_in_time.load(Relaxed);
        Measured {
            messages: counts.sent.load(Relaxed),
            received_per_second: per_second(counts.received_in_time.load(Relaxed), seconds),
            delivered_per_second: per_second(in_time, seconds),
            deleted_per_second: None,
            sent_to_tick: ticked.percentiles(),
            sent_to_received: received.percentiles(),
            sent_to_last_received: self.last.percentiles(),
            sent_to_all_delivered: delivered.percentiles(),
            generator_late: late.percentiles(),
            cpu: cpu.per_thousand(in_time),
            others_cores: cpu.others / seconds.as_secs_f64(),
            amplification: None,
            gateways_before: 0,
            gateways_most: 0,
            slow_behind: 0,
        }
    }
}
