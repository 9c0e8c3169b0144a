//! Rate limits, all in one place: the [`table`] says how much of what, each
//! [`Limit`](limit::Limit) counts it, and who is refused is told how long to wait. ADR 10 says
//! how logins are slowed down.

mod attempts;
mod bucket;
mod capped;
mod limit;
mod login;
mod table;
mod terms;

use std::time::Instant;

use schemas::{ErrorCode, UserId, client::Frame};

use crate::session::Refusal;

pub(crate) use login::Door;
pub(crate) use table::Limits;
pub use table::{LimitOptions, Switch};
pub use terms::{Delay, Rate, TermsError};

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The session gets it.
    Taken,
    /// Nobody does, and nobody is told.
    Shed,
    /// Its sender is told why not; the name is its type's.
    Refused(&'static str, Refusal),
}

impl Limits {
    /// Counts a frame. Sends are counted when it is their turn, wherever they
    /// came in.
    pub(crate) fn admit(&self, user: UserId, frame: &Frame) -> Admission {
        let (taken, name) = match frame {
            Frame::Auth(_) => (self.renewals.take(user), "auth"),
            Frame::Read(_) => (self.reads.take(user), "read"),
            Frame::Watch(_) => (self.watches.take(user), "watch"),
            Frame::Typing(_) if self.typing.take(user).is_err() => return Admission::Shed,
            _ => return Admission::Taken,
        };
        taken.map_or_else(|refusal| Admission::Refused(name, refusal), |()| Admission::Taken)
    }
}

/// What the limits count time by: nanoseconds since they were made.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Refuses what has to wait for so many nanoseconds.
fn refuse(words: &'static str, wait: u64) -> Refusal {
    metrics::counter!("petrel_limited_total", "limit" => words).increment(1);
    // Rounded up: who waits as long as they are told is not refused again.
    let retry_after_ms = wait.div_ceil(1_000_000).max(1);
    Refusal {
        code: ErrorCode::RateLimited,
        message: format!("too many {words}: wait {retry_after_ms} ms"),
        retry_after_ms: Some(retry_after_ms),
    }
}

#[cfg(test)]
mod tests;
