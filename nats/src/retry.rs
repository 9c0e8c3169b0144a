//! Trying again: with a growing, jittered pause, until a deadline.

use std::time::Duration;

use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The attempts of one operation.
#[derive(Debug)]
pub(crate) struct Retries {
    deadline: Instant,
    pause: Duration,
}

impl Retries {
    /// Attempts that all lie within this time from now.
    pub(crate) fn within(time: Duration) -> Self {
        Self { deadline: Instant::now() + time, pause: FIRST_PAUSE }
    }

    /// How long the next attempt may take, which is at most `longest`.
    pub(crate) fn attempt(&self, longest: Duration) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).min(longest)
    }

    /// Waits before the next attempt; false when there is no time for one.
    pub(crate) async fn pause(&mut self) -> bool {
        // Half of the pause is random, so that what failed together does not
        // come back together.
        let pause = self.pause.mul_f64(rand::random_range(0.5..=1.0));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_limit_and_end_at_the_deadline() {
        let start = Instant::now();
        let mut retries = Retries::within(Duration::from_secs(15));
        let mut before = start;
        let mut attempts = 0;
        while retries.pause().await {
            assert!(before.elapsed() <= LONGEST_PAUSE + Duration::from_millis(1));
            before = Instant::now();
            attempts += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(15));
        // 25, 50, … ms up to half a second, each at least half of that.
        assert!((30..=65).contains(&attempts), "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_never_outlives_the_deadline() {
        let retries = Retries::within(Duration::from_secs(3));
        assert_eq!(retries.attempt(Duration::from_secs(2)), Duration::from_secs(2));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(retries.attempt(Duration::from_secs(2)), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(retries.attempt(Duration::from_secs(2)), Duration::ZERO);
    }
}
