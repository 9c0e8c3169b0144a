//! Rate limits, all in one place.

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _, clock::DefaultClock,
};
use schemas::{ErrorCode, UserId};

use crate::{
    config::{Config, Switch},
    session::Refusal,
};

/// The limits of one gateway; each counts on its own.
pub(crate) struct Limits {
    /// Nothing where limits are off.
    sends: Option<DefaultKeyedRateLimiter<UserId>>,
    clock: DefaultClock,
}

impl Limits {
    /// The limits as configured.
    pub(crate) fn new(config: &Config) -> Self {
        let sends = Quota::per_second(config.sends_per_second).allow_burst(config.sends_burst);
        let sends = (config.limits == Switch::On).then(|| RateLimiter::keyed(sends));
        Self { sends, clock: DefaultClock::default() }
    }

    /// Counts a message of this user.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub(crate) fn send(&self, user: UserId) -> Result<(), Refusal> {
        let Some(sends) = &self.sends else { return Ok(()) };
        sends.check_key(&user).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            // Rounded up: who waits as long as they are told is not refused again.
            let retry_after_ms = wait.as_nanos().div_ceil(1_000_000).max(1);
            let retry_after_ms = u64::try_from(retry_after_ms).unwrap_or(u64::MAX);
            Refusal {
                code: ErrorCode::RateLimited,
                message: format!("too many messages, wait {retry_after_ms} ms"),
                retry_after_ms: Some(retry_after_ms),
            }
        })
    }

    /// Forgets users who have not sent for a while.
    pub(crate) fn sweep(&self) {
        if let Some(sends) = &self.sends {
            sends.retain_recent();
            sends.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::*;

    fn limits(switch: &str) -> Limits {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let config = ["gateway", "--signing-key", key, "--limits", switch, "--sends-burst", "3"];
        Limits::new(&Config::try_parse_from(config).unwrap())
    }

    #[test]
    fn each_user_has_a_burst_of_their_own() {
        let limits = limits("on");
        let (alice, bob) = (UserId::mint(), UserId::mint());
        for _ in 0..3 {
            limits.send(alice).unwrap();
        }
        let refused = limits.send(alice).unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert!((1..=50).contains(&refused.retry_after_ms.unwrap()), "{refused:?}");
        limits.send(bob).unwrap();
    }

    #[test]
    fn off_is_off() {
        let limits = limits("off");
        let alice = UserId::mint();
        assert!((0..1000).all(|_| limits.send(alice).is_ok()));
    }
}
