//! How long things took.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest time that is told apart; beyond it counts as this.
const LONGEST: Duration = Duration::from_secs(60);
/// Significant digits that are kept.
const DIGITS: u8 = 3;
/// Histograms that share the recording, so that threads do not wait for each other.
const SHARDS: usize = 16;

/// A histogram of times from 1 µs to a minute that many tasks record into.
#[derive(Debug)]
pub(super) struct Latency {
    shards: Vec<Mutex<Histogram<u64>>>,
}

/// The percentiles of a histogram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Percentiles {
    /// How many were measured.
    pub(super) count: u64,
    /// Milliseconds, half were below.
    pub(super) p50_ms: f64,
    /// Milliseconds.
    pub(super) p99_ms: f64,
    /// Milliseconds.
    pub(super) p999_ms: f64,
    /// Milliseconds.
    pub(super) max_ms: f64,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::new(empty())).collect() }
    }

    /// Records a time; `who` spreads the recorders.
    pub(super) fn record(&self, who: usize, time: Duration) {
        let micros = u64::try_from(time.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        let shard = &self.shards[who % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros.max(1));
    }

    /// What was recorded.
    pub(super) fn percentiles(&self) -> Percentiles {
        let mut all = empty();
        for shard in &self.shards {
            // All have the same bounds, so that adding cannot fail.
            let _ = all.add(&*shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let at = |quantile| all.value_at_quantile(quantile) as f64 / 1000.0;
        if all.is_empty() {
            return Percentiles::default();
        }
        Percentiles {
            count: all.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: all.max() as f64 / 1000.0,
        }
    }
}

fn empty() -> Histogram<u64> {
    let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
    #[allow(clippy::expect_used, reason = "the bounds are constants that are valid")]
    Histogram::new_with_bounds(1, longest, DIGITS).expect("valid bounds")
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p99_ms, p999_ms, max_ms, count } = self;
        write!(f, "{p50_ms:>9.3} {p99_ms:>9.3} {p999_ms:>9.3} {max_ms:>9.3} {count:>10}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_shards() {
        let latency = Latency::new();
        for ms in 1..=1000 {
            latency.record(ms, Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
        }
        let found = latency.percentiles();
        assert_eq!(found.count, 1000);
        for (found, expected) in [
            (found.p50_ms, 500.0),
            (found.p99_ms, 990.0),
            (found.p999_ms, 999.0),
            (found.max_ms, 1000.0),
        ] {
            assert!((found - expected).abs() <= expected / 500.0, "{found} of {expected}");
        }
    }

    #[test]
    fn nothing_recorded_is_nothing() {
        assert_eq!(Latency::new().percentiles(), Percentiles::default());
    }
}
