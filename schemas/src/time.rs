//! The protocol's two clocks: microseconds order messages, milliseconds tell people the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Microseconds since 1970: `ts`, `at`, `after`, `delivered`, `read`.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// Milliseconds since 1970: `now`, `last_seen`, `expires`.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Micros {
    /// The system clock.
    pub fn now() -> Self {
        Self(i64::try_from(since_epoch().as_micros()).unwrap_or(i64::MAX))
    }

    /// This moment moved later by `by`.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment moved earlier by `by`.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after that moment this one is; nothing if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The next representable moment.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Millis {
    /// The system clock.
    pub fn now() -> Self {
        Self(i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX))
    }

    /// This moment moved later by `by`.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment moved earlier by `by`.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after that moment this one is; nothing if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<Micros> for Millis {
    fn from(micros: Micros) -> Self {
        Self(micros.0.div_euclid(1000))
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
