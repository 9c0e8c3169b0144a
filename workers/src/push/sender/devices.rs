//! How often one device is told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use schemas::DeviceId;
use tokio::time::Instant;

use super::{failure::Failure, options::PushOptions};

/// Devices that are remembered; each takes about 200 bytes.
const DEVICES: u64 = 100_000;

/// A bucket of tokens for each device that was told of late. Each worker counts on
/// its own.
pub(super) struct Devices {
    burst: u32,
    every: Duration,
    buckets: Cache<DeviceId, Arc<Mutex<Bucket>>>,
}

/// All that there is to know of it is when it will be full again.
#[derive(Debug, Default, Clone, Copy)]
struct Bucket {
    full: Option<Instant>,
}

impl Devices {
    pub(super) fn new(options: &PushOptions) -> Self {
        let burst = options.push_device_burst.get();
        let every = Duration::from_secs(options.push_device_every_secs);
        // By then it is full, and as good as none.
        let idle = every.saturating_mul(burst).max(Duration::from_secs(1));
        let buckets = Cache::builder().max_capacity(DEVICES).time_to_idle(idle).build();
        Self { burst, every, buckets }
    }

    /// Counts one more.
    pub(super) fn take(&self, device: DeviceId, now: Instant) -> Result<(), Failure> {
        if self.every.is_zero() {
            return Ok(());
        }
        let bucket = self.buckets.get_with(device, Arc::default);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = bucket.take(self.burst, self.every, now);
        taken.map_err(|wait| Failure::Held("device_rate", wait))
    }
}

impl Bucket {
    /// Takes one token, or says how long until there is one.
    fn take(&mut self, burst: u32, every: Duration, now: Instant) -> Result<(), Duration> {
        let full = self.full.map_or(now, |full| full.max(now)) + every;
        let latest = now + every * burst;
        if full > latest {
            return Err(full - latest);
        }
        self.full = Some(full);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        for _ in 0..3 {
            assert_eq!(bucket.take(3, EVERY, start), Ok(()));
        }
        assert_eq!(bucket.take(3, EVERY, start), Err(EVERY));
        assert_eq!(bucket.take(3, EVERY, start + EVERY * 4 / 5), Err(EVERY / 5));
        assert_eq!(bucket.take(3, EVERY, start + EVERY), Ok(()));
        assert_eq!(bucket.take(3, EVERY, start + EVERY), Err(EVERY));
        // It is never fuller than full.
        let later = start + EVERY * 100;
        let taken = (0..10).filter(|_| bucket.take(3, EVERY, later).is_ok()).count();
        assert_eq!(taken, 3);
    }
}
