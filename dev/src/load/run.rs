//! A run: from when to when people talk, and what they measure together.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{latency::Latency, options::Timing, pace::Plan, process::per_second, progress};

/// Longest wait for the last messages' Delivered ticks.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether they came, and the progress is shown.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// From the last preparations to the first message.
const LEAD: Duration = Duration::from_millis(200);

/// What all people of a run share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) start: Instant,
    timing: Timing,
    pub(super) style: Style,
    /// Messages due in this time count, in microseconds since the start; after
    /// its end nothing more is sent.
    pub(super) measured_us: Range<u64>,
    pub(super) body_bytes: usize,
    pub(super) stop: CancellationToken,
    pub(super) counts: Counts,
    /// From the planned time to the Sent tick.
    pub(super) ticked: Latency,
    /// From the planned time to the recipient.
    pub(super) received: Latency,
    /// From the planned time to the Delivered tick.
    pub(super) delivered: Latency,
    /// From the planned time to the sending: the generator's own part.
    pub(super) late: Latency,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    /// At planned times.
    Planned(Plan),
    /// Whenever fewer than this many are not delivered.
    Window(u32),
}

/// How far all of them are.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    /// Refused ones are over too.
    pub(super) over: AtomicU64,
    pub(super) received_in_time: AtomicU64,
    /// Those whose Delivered tick came in the measured time.
    pub(super) delivered_in_time: AtomicU64,
}

impl Run {
    /// A run that is about to start.
    pub(super) fn new(style: Style, timing: Timing, body_bytes: u32) -> Self {
        Self {
            start: Instant::now() + LEAD,
            timing,
            style,
            measured_us: timing.measured_us(),
            body_bytes: body_bytes as usize,
            stop: CancellationToken::new(),
            counts: Counts::default(),
            ticked: Latency::new(),
            received: Latency::new(),
            delivered: Latency::new(),
            late: Latency::new(),
        }
    }

    /// Waits for the beginning of the measured time.
    pub(super) async fn warmed_up(&self) {
        tokio::time::sleep_until((self.start + self.timing.warm_up()).into()).await;
    }

    /// Shows how it goes until the end of the measured time.
    pub(super) async fn watch(&self) {
        let duration = self.timing.duration();
        let end = self.start + self.timing.warm_up() + duration;
        let bar = progress::bar("talking", duration.as_secs());
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            let passed = duration.saturating_sub(end - now);
            let delivered = per_second(self.counts.delivered_in_time.load(Relaxed), passed);
            bar.set_position(passed.as_secs());
            bar.set_message(format!("s, {delivered:.0} delivered per second"));
            tokio::time::sleep((end - now).min(LOOK_EVERY)).await;
        }
        bar.finish_and_clear();
    }

    /// Waits for the last messages: those that are due and not sent yet, too.
    pub(super) async fn drain(&self, is_over: impl Fn(&Counts) -> bool) {
        let bar = progress::spinner("draining");
        let deadline = Instant::now() + DRAIN_WITHIN;
        let due = match self.style {
            Style::Planned(plan) => plan.due_before(self.measured_us.end),
            Style::Window(_) => 0,
        };
        let all_sent = || self.counts.sent.load(Relaxed) >= due;
        while !(all_sent() && is_over(&self.counts)) && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bar.finish_and_clear();
    }

    /// Microseconds since the start.
    pub(super) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Records how long something took that was due in the measured time.
    pub(super) fn record(&self, latency: &Latency, who: usize, due_us: u64, now_us: u64) {
        if self.measured_us.contains(&due_us) {
            latency.record(who, Duration::from_micros(now_us.saturating_sub(due_us)));
        }
    }
}
