//! Wakes people when their next message is due.
//!
//! Tokio's timers count whole milliseconds, which is what a message takes: the
//! planned times are kept by a thread of its own, which sleeps as exactly as
//! the kernel lets it.

use std::{
    io,
    num::NonZeroU64,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Least sleep, so that a high rate does not become a busy loop: messages due
/// within it go together.
const LEAST_SLEEP: Duration = Duration::from_micros(100);
/// Longest sleep, to see that the run is over.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// When each message is due: message `k` of person `i` of `people` is number
/// `i + k · people` of all, and all are evenly spaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Messages per second of all together.
    pub(super) rate: u32,
    /// How many send.
    pub(super) people: u32,
}

impl Plan {
    /// When message `k` of person `i` is due, in microseconds since the start.
    pub(super) fn due_us(self, i: u32, k: u32) -> u64 {
        self.due_us_of(u64::from(i) + u64::from(k) * u64::from(self.people))
    }

    /// How many messages are due before that many microseconds since the start.
    pub(super) fn due_before(self, end_us: u64) -> u64 {
        (end_us * u64::from(self.rate)).div_ceil(1_000_000)
    }

    fn due_us_of(self, number: u64) -> u64 {
        number * 1_000_000 / u64::from(self.rate)
    }
}

/// Starts waking: person `i` by `wake[i]`, until the token is cancelled.
///
/// # Errors
/// When there can be no other thread.
pub(super) fn start(
    plan: Plan,
    start: Instant,
    wake: Vec<Arc<Notify>>,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("pace".into()).spawn(move || keep(plan, start, &wake, &stop))
}

fn keep(plan: Plan, start: Instant, wake: &[Arc<Notify>], stop: &CancellationToken) {
    // Without it the kernel may add 50 µs to each sleep, which shows at the median.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut number = 0;
    while !stop.is_cancelled() {
        let due = start + Duration::from_micros(plan.due_us_of(number));
        let now = Instant::now();
        if due <= now {
            let person = usize::try_from(number % u64::from(plan.people)).unwrap_or_default();
            wake[person].notify_one();
            number += 1;
        } else {
            thread::sleep((due - now).clamp(LEAST_SLEEP, LONGEST_SLEEP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_evenly_spaced_over_all_people() {
        let plan = Plan { rate: 500, people: 4 };
        let due = [(0, 0), (1, 0), (3, 0), (0, 1), (1, 1)].map(|(i, k)| plan.due_us(i, k));
        assert_eq!(due, [0, 2_000, 6_000, 8_000, 10_000]);
    }

    #[test]
    fn those_due_before_a_time_are_counted() {
        for rate in [1, 3, 500, 7_000] {
            let plan = Plan { rate, people: 1 };
            for end in [1, 2_000, 2_001, 1_000_000, 30_000_001] {
                let count = plan.due_before(end);
                assert!(plan.due_us_of(count - 1) < end && plan.due_us_of(count) >= end);
            }
        }
    }
}
