//! The tokens a session lives on.

use std::time::{Duration, Instant};

use schemas::http;

/// A token is renewed when this part of its life, one in so many, is left.
const RENEW_AT_REMAINING: u32 = 5;

#[derive(Debug)]
pub(super) struct Token {
    pub(super) pair: http::Session,
    pub(super) renew_at: Instant,
    pub(super) expires: Instant,
    /// Asked for and not yet answered.
    pub(super) renewing: bool,
    /// Made for this very connection: if it is refused, so would the next one be.
    pub(super) unproven: bool,
}

impl Token {
    pub(super) fn new(now: Instant, pair: http::Session, unproven: bool) -> Self {
        let life = Duration::from_secs(pair.expires_in);
        Self {
            renew_at: now + life - life / RENEW_AT_REMAINING,
            expires: now + life,
            pair,
            renewing: false,
            unproven,
        }
    }
}
