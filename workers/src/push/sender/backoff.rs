//! How long to wait after failures.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);

/// How long to wait after so many failures in a row of one notification: from 5 s
/// to 10 min, of which the second half is random, so that those who failed together
/// do not come back together.
pub fn backoff(failures: u32) -> Duration {
    jittered(failures, rand::random())
}

/// The same; `jitter` is from 0 to 1.
fn jittered(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_doubles_up_to_the_longest() {
        let secs = [1, 2, 3, 4, 5, 6, 7, 8, 9, u32::MAX].map(|n| jittered(n, 1.0).as_secs());
        assert_eq!(secs, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(jittered(0, 1.0), FIRST);
    }

    proptest! {
        #[test]
        fn it_never_shrinks_and_jitter_takes_at_most_half(n in any::<u32>(), jitter in 0.0..1.0) {
            let whole = jittered(n, 1.0);
            prop_assert!(jittered(n.saturating_add(1), 1.0) >= whole);
            prop_assert!((whole / 2..=whole).contains(&jittered(n, jitter)));
        }
    }
}
