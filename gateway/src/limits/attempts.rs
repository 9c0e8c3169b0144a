//! Attempts to log in, each of which makes the next one wait longer.

use std::time::Duration;

use super::{capped::Fading, terms::Delay};

/// Attempts at one door, or from one address. Times are in nanoseconds of the
/// limits' clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// When all are forgotten; each takes the longest delay to be.
    forgotten: u64,
    /// Before that, none is let in.
    opens: u64,
}

impl Attempts {
    /// Counts an attempt, before it is known what comes of it: of many at once
    /// no more get in than of many in turn.
    ///
    /// # Errors
    /// The nanoseconds until one is let in. It does not count then, so that
    /// asking all the time keeps nobody out for longer.
    pub(super) fn begin(&mut self, delay: Delay, now: u64) -> Result<(), u64> {
        let Delay::Growing { free, first, longest } = delay else { return Ok(()) };
        let (first, longest) = (nanoseconds(first), nanoseconds(longest));
        if self.opens > now {
            return Err(self.opens - now);
        }
        self.forgotten = self.forgotten.max(now).saturating_add(longest);
        let count = (self.forgotten - now).div_ceil(longest);
        if let Some(doublings) = count.checked_sub(free.get().into()) {
            let factor = 2_u64.saturating_pow(u32::try_from(doublings).unwrap_or(u32::MAX));
            self.opens = now.saturating_add(first.saturating_mul(factor).min(longest));
        }
        Ok(())
    }

    /// That attempt was none: the password was right, or could not be looked at.
    pub(super) fn take_back(&mut self, delay: Delay) {
        let Delay::Growing { longest, .. } = delay else { return };
        self.forgotten = self.forgotten.saturating_sub(nanoseconds(longest));
        // It was let in, so whatever had to be waited for before it is over.
        self.opens = 0;
    }
}

impl Fading for Attempts {
    fn worth(&self, now: u64) -> u64 {
        self.forgotten.saturating_sub(now)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: u64 = 60 * SECOND;

    fn delay() -> Delay {
        "5,1s..1min".parse().unwrap()
    }

    /// After a pause, tries so often, each time as soon as it is let in; the
    /// delays in seconds.
    fn waits(attempts: &mut Attempts, pause: u64, times: usize) -> Vec<u64> {
        let (mut now, mut waits) = (attempts.opens + pause, Vec::new());
        for _ in 0..times {
            attempts.begin(delay(), now).unwrap();
            let wait = attempts.opens.saturating_sub(now);
            waits.push(wait / SECOND);
            now += wait;
        }
        waits
    }

    #[test]
    fn the_delay_grows_and_has_an_end() {
        let mut attempts = Attempts::default();
        // By the eleventh, the first one is forgotten.
        assert_eq!(waits(&mut attempts, 0, 12), [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 32, 60]);
        assert_eq!(waits(&mut attempts, 0, 20), [60; 20]);
        // However long it was tried, it is soon forgotten.
        assert!(attempts.worth(attempts.opens) <= 12 * MINUTE);
        assert_eq!(waits(&mut attempts, 12 * MINUTE, 5), [0, 0, 0, 0, 1]);
    }

    #[test]
    fn who_asks_too_early_makes_nobody_wait_longer() {
        let mut attempts = Attempts::default();
        waits(&mut attempts, 0, 5);
        let before = attempts;
        assert!((0..SECOND).step_by(1_000_000).all(|now| attempts.begin(delay(), now).is_err()));
        assert_eq!(attempts, before);
        assert_eq!(attempts.begin(delay(), SECOND), Ok(()));
    }

    #[test]
    fn an_attempt_that_was_none_leaves_no_trace() {
        let mut attempts = Attempts::default();
        for failed in 0..12 {
            let now = attempts.opens;
            let mut again = attempts;
            again.begin(delay(), now).unwrap();
            again.take_back(delay());
            let (mut one, mut other) = (attempts, again);
            assert_eq!(one.begin(delay(), now), other.begin(delay(), now), "{failed}");
            assert_eq!(one, other, "{failed}");
            attempts = one;
        }
    }

    proptest! {
        /// However somebody tries, with however many successes of their own in
        /// between, in the long run there is one guess for each longest delay.
        #[test]
        fn guesses_are_few(tries in prop::collection::vec((0u64..MINUTE, any::<bool>()), 1..300)) {
            let (mut attempts, mut now, mut guesses) = (Attempts::default(), 0, 0);
            for (pause, succeeds) in tries {
                now += pause;
                if attempts.begin(delay(), now).is_ok() {
                    if succeeds {
                        attempts.take_back(delay());
                    } else {
                        guesses += 1;
                    }
                }
            }
            prop_assert!(guesses <= 12 + now / MINUTE, "{guesses} in {} min", now / MINUTE);
        }
    }
}
