//! When to try again.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

/// Before the first retry; doubles with each.
const FIRST: Duration = Duration::from_millis(200);
/// The retry a crowded server starts from.
const CROWDED_ATTEMPT: u32 = 3;
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(15);

/// Doubling waits, each cut by chance to between half and all of it, so that
/// those who were dropped together do not come back together.
#[derive(Debug)]
pub(super) struct Backoff {
    attempt: u32,
    chance: SmallRng,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { attempt: 0, chance: SmallRng::seed_from_u64(seed) }
    }

    /// The wait before the next try.
    pub(super) fn next(&mut self, crowded: bool) -> Duration {
        if crowded {
            self.attempt = self.attempt.max(CROWDED_ATTEMPT);
        }
        let longest = FIRST.saturating_mul(1 << self.attempt.min(16)).min(LONGEST);
        self.attempt = self.attempt.saturating_add(1);
        longest.mul_f64(self.chance.random_range(0.5..=1.0))
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(7);
        let mut expected = FIRST;
        for _ in 0..12 {
            let wait = backoff.next(false);
            assert!(wait >= expected / 2 && wait <= expected, "{wait:?} of {expected:?}");
            expected = (expected * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.next(false) <= FIRST);
        assert!(backoff.next(true) >= FIRST * 4);
    }
}
