//! One limit: a bucket for each user, or each address.

use std::hash::Hash;

use super::{Clock, bucket::Bucket, capped::Capped, refuse, terms::Rate};
use crate::session::Refusal;

/// How often each of those may do one thing.
#[derive(Debug)]
pub(crate) struct Limit<K> {
    words: &'static str,
    rate: Rate,
    buckets: Capped<K, Bucket>,
    clock: Clock,
}

impl<K: Eq + Hash> Limit<K> {
    /// A limit; the words say of what, to people and in metrics.
    pub(super) fn new(words: &'static str, rate: Rate, clock: Clock) -> Self {
        Self { words, rate, buckets: Capped::default(), clock }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub(crate) fn take(&self, key: K) -> Result<(), Refusal> {
        self.take_many(key, 1)
    }

    /// Counts so many more, or none.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn take_many(&self, key: K, count: u32) -> Result<(), Refusal> {
        if self.rate == Rate::Off {
            return Ok(());
        }
        let now = self.clock.now();
        let taken = self.buckets.update(key, now, |bucket| bucket.take(count, self.rate, now));
        taken.map_err(|wait| refuse(self.words, wait))
    }

    /// Forgets whose bucket is full.
    pub(super) fn sweep(&self) {
        self.buckets.sweep(self.clock.now());
    }
}
