//! What JetStream writes, by its streams' own counters.

use std::{collections::HashSet, ops::Sub, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::context::StreamsError;
use futures_util::TryStreamExt as _;
use nats::{Bus, subject};
use serde::Serialize;
use tokio::time::Instant;

use crate::Stack;

/// Longest wait until what is delivered is deleted.
const EMPTY_WITHIN: Duration = Duration::from_secs(30);
/// Requests for the counters, of which each waits its turn behind all deletes
/// that the server has been asked for.
const TRIES: u32 = 6;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The streams of a stack.
pub(super) struct Streams {
    bus: Bus,
    inboxes: HashSet<String>,
    receipts: String,
}

/// Messages that streams have stored so far, each counted once however many
/// replicas there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Writes {
    /// Into inboxes.
    pub(super) inboxes: u64,
    /// Watermarks.
    pub(super) watermarks: u64,
    /// Acknowledgements, many of them in one, kept in memory until a worker has
    /// taken them.
    pub(super) acks: u64,
    /// All else.
    pub(super) others: u64,
    /// Not written, but deleted from inboxes again.
    pub(super) deleted: u64,
}

/// As many per delivered message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Amplification {
    /// All of them.
    pub(super) total: f64,
    /// Messages in inboxes.
    pub(super) inboxes: f64,
    /// Watermarks.
    pub(super) watermarks: f64,
    /// Acknowledgements, in memory.
    pub(super) acks: f64,
    /// All else.
    pub(super) others: f64,
}

impl Streams {
    /// Those of this stack.
    ///
    /// # Errors
    /// When its NATS cannot be reached.
    pub(super) async fn of(stack: &Stack) -> anyhow::Result<Self> {
        let bus = stack.bus().await?;
        let inboxes = bus.shards.all().map(subject::inbox_stream).collect();
        Ok(Self { bus, inboxes, receipts: subject::bucket_stream(subject::RECEIPTS_BUCKET) })
    }

    /// What they have stored so far.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub(super) async fn writes(&self) -> anyhow::Result<Writes> {
        let mut tries = 1;
        loop {
            match self.look().await {
                Err(_) if tries < TRIES => tries += 1,
                looked => return looked.context("cannot look at the streams"),
            }
        }
    }

    async fn look(&self) -> Result<Writes, StreamsError> {
        let mut writes = Writes::default();
        let mut streams = self.bus.jetstream.streams();
        while let Some(stream) = streams.try_next().await? {
            let (name, stored) = (&stream.config.name, stream.state.last_sequence);
            if self.inboxes.contains(name) {
                writes.inboxes += stored;
                writes.deleted += stored - stream.state.messages;
            } else if *name == self.receipts {
                writes.watermarks += stored;
            } else if name == subject::RECEIPTS_STREAM {
                writes.acks += stored;
            } else {
                writes.others += stored;
            }
        }
        Ok(writes)
    }

    /// Waits until nothing lies in an inbox; what lies there if that does not
    /// come.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub(super) async fn emptied(&self) -> anyhow::Result<u64> {
        let deadline = Instant::now() + EMPTY_WITHIN;
        loop {
            let writes = self.writes().await?;
            let left = writes.inboxes - writes.deleted;
            if left == 0 || Instant::now() >= deadline {
                return Ok(left);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Writes {
    /// For each of so many deliveries.
    pub(super) fn per(self, deliveries: u64) -> Amplification {
        let per = |writes: u64| {
            if deliveries == 0 { 0.0 } else { writes as f64 / deliveries as f64 }
        };
        let Self { inboxes, watermarks, acks, others, .. } = self;
        Amplification {
            total: per(inboxes + watermarks + acks + others),
            inboxes: per(inboxes),
            watermarks: per(watermarks),
            acks: per(acks),
            others: per(others),
        }
    }
}

impl Sub for Writes {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            inboxes: self.inboxes - other.inboxes,
            watermarks: self.watermarks - other.watermarks,
            acks: self.acks - other.acks,
            others: self.others - other.others,
            deleted: self.deleted - other.deleted,
        }
    }
}
