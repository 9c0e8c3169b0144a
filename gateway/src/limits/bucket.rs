//! A bucket of tokens that fills at a steady rate.

use super::{capped::Fading, terms::Rate};

/// All that there is to know of it is when it will be full again, in
/// nanoseconds of the limits' clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    full: u64,
}

impl Bucket {
    /// Takes so many tokens, or all that fit into the bucket if that is less:
    /// what costs more than any bucket holds is rare and not impossible.
    ///
    /// # Errors
    /// The nanoseconds after which there are enough. Nothing is taken then.
    pub(super) fn take(&mut self, tokens: u32, rate: Rate, now: u64) -> Result<(), u64> {
        let Rate::Limited { burst, every } = rate else { return Ok(()) };
        let tokens = u64::from(tokens.min(burst.get()));
        let full = self.full.max(now).saturating_add(every.get().saturating_mul(tokens));
        let latest = now.saturating_add(every.get().saturating_mul(burst.get().into()));
        if full > latest {
            return Err(full - latest);
        }
        self.full = full;
        Ok(())
    }
}

impl Fading for Bucket {
    fn worth(&self, now: u64) -> u64 {
        self.full.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let (mut bucket, rate) = (Bucket::default(), rate("3,2/s"));
        for _ in 0..3 {
            bucket.take(1, rate, 0).unwrap();
        }
        assert_eq!(bucket.take(1, rate, 0), Err(SECOND / 2));
        assert_eq!(bucket.take(1, rate, SECOND / 2 - 1), Err(1));
        bucket.take(1, rate, SECOND / 2).unwrap();
        assert_eq!(bucket.take(3, rate, SECOND / 2), Err(3 * SECOND / 2));
        // It is full again, and never fuller than that.
        bucket.take(3, rate, 60 * SECOND).unwrap();
        assert_eq!(bucket.take(1, rate, 60 * SECOND), Err(SECOND / 2));
    }

    #[test]
    fn what_is_too_large_for_it_takes_all_of_it() {
        let (mut bucket, rate) = (Bucket::default(), rate("3,2/s"));
        bucket.take(100, rate, 0).unwrap();
        assert_eq!(bucket.take(100, rate, 0), Err(3 * SECOND / 2));
        bucket.take(100, rate, 3 * SECOND / 2).unwrap();
        let mut bucket = Bucket::default();
        assert!((0..1000).all(|_| bucket.take(u32::MAX, Rate::Off, 0).is_ok()));
    }

    proptest! {
        /// In no stretch of time are more tokens taken than the burst and what
        /// came in meanwhile; and who waits as long as they were told gets them.
        #[test]
        fn it_keeps_to_its_rate(
            burst in 1u32..50,
            count in 1u32..50,
            asks in prop::collection::vec((0u64..2 * SECOND, 1u32..10), 1..100),
        ) {
            let rate = rate(&format!("{burst},{count}/s"));
            let Rate::Limited { every, .. } = rate else { unreachable!() };
            let (mut bucket, mut now) = (Bucket::default(), 0);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (pause, tokens) in asks {
                now += pause;
                if let Err(wait) = bucket.take(tokens, rate, now) {
                    prop_assert!(wait > 1 && bucket.take(tokens, rate, now + wait - 1).is_err());
                    now += wait;
                    prop_assert!(bucket.take(tokens, rate, now).is_ok());
                }
                taken.push((now, tokens.min(burst).into()));
            }
            for (n, (from, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (until, tokens) in &taken[n..] {
                    sum += tokens;
                    prop_assert!(sum <= u64::from(burst) + (until - from) / every.get());
                }
            }
        }
    }
}
