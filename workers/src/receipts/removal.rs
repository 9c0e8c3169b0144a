//! Delivered messages leave their inboxes: one by one, or with a purge where
//! one device acknowledged many (see docs/adr/0002-delete-or-purge.md).

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use metrics::counter;
use nats::subject::{Shard, Shards};
use tokio::{sync::Semaphore, time::Instant};
use tracing::warn;

use super::{
    fold::InboxKey,
    stores::{Inboxes, Unavailable},
};

/// How long a shard that failed is not asked again. Without a pause, a shard
/// that lost its leader would have every batch wait for its own timeout.
const LANE_PAUSE: Duration = Duration::from_secs(1);
/// The part of all requests in flight that one shard may take, so that one
/// that does not answer leaves room for the others.
const LANE_SHARE: usize = 4;

/// How many requests, and when a purge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Requests under way at once, over all batches. JetStream's API drops
    /// *everything* that waits there when too much does.
    pub(crate) in_flight: usize,
    /// From so many messages of one device, one purge takes the place of the deletes.
    pub(crate) purge_from: usize,
}

/// Removes messages, a bounded number at a time.
pub(crate) struct Removal<I> {
    inboxes: I,
    bounds: Bounds,
    in_flight: Semaphore,
    shards: Shards,
    lanes: Vec<Lane>,
}

/// The way to one shard.
struct Lane {
    slots: Semaphore,
    closed_until: Mutex<Option<Instant>>,
}

/// One request.
#[derive(Clone, Copy)]
enum Step {
    Delete(InboxKey, u64),
    Purge(InboxKey, u64),
}

impl<I: Inboxes> Removal<I> {
    pub(crate) fn new(inboxes: I, shards: Shards, bounds: Bounds) -> Self {
        let slots = (bounds.in_flight / LANE_SHARE).max(1);
        Self {
            inboxes,
            bounds,
            in_flight: Semaphore::new(bounds.in_flight.max(1)),
            shards,
            lanes: shards.all().map(|_| Lane::new(slots)).collect(),
        }
    }

    /// Removes these messages; answers in which inboxes some are left.
    pub(crate) async fn remove(&self, acked: &HashMap<InboxKey, Vec<u64>>) -> HashSet<InboxKey> {
        let steps = acked.iter().flat_map(|(inbox, seqs)| self.steps(*inbox, seqs));
        let requests: Vec<_> = steps.map(|step| self.take(step)).collect();
        stream::iter(requests)
            .buffer_unordered(self.bounds.in_flight.max(1))
            .filter_map(async |left| left.err())
            .collect()
            .await
    }

    fn steps<'a>(
        &self,
        inbox: InboxKey,
        seqs: &'a [u64],
    ) -> impl Iterator<Item = Step> + use<'a, I> {
        let purge = seqs.len() >= self.bounds.purge_from;
        let up_to = seqs.last().filter(|_| purge).map(|up_to| Step::Purge(inbox, *up_to));
        let alone = if purge { &[] } else { seqs };
        up_to.into_iter().chain(alone.iter().map(move |seq| Step::Delete(inbox, *seq)))
    }

    async fn take(&self, step: Step) -> Result<(), InboxKey> {
        let inbox = step.inbox();
        let shard = self.shards.of(inbox.user);
        let Some(lane) = self.lanes.get(shard as usize) else { return Err(inbox) };
        // Neither semaphore is ever closed.
        let _slot = lane.slots.acquire().await;
        if lane.is_closed() {
            return Err(inbox);
        }
        let _permit = self.in_flight.acquire().await;
        match self.ask(step).await {
            Ok(()) => Ok(()),
            Err(error) => {
                lane.close(shard, &error);
                Err(inbox)
            }
        }
    }

    async fn ask(&self, step: Step) -> Result<(), Unavailable> {
        match step {
            Step::Delete(inbox, seq) => {
                self.inboxes.delete(inbox, seq).await?;
                counter!("petrel_receipts_deletes_total").increment(1);
            }
            Step::Purge(inbox, up_to) => {
                self.inboxes.purge(inbox, up_to).await?;
                counter!("petrel_receipts_purges_total").increment(1);
            }
        }
        Ok(())
    }
}

impl Step {
    fn inbox(self) -> InboxKey {
        match self {
            Self::Delete(inbox, _) | Self::Purge(inbox, _) => inbox,
        }
    }
}

impl Lane {
    fn new(slots: usize) -> Self {
        Self { slots: Semaphore::new(slots), closed_until: Mutex::new(None) }
    }

    fn is_closed(&self) -> bool {
        let closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        closed_until.is_some_and(|until| Instant::now() < until)
    }

    fn close(&self, shard: Shard, error: &Unavailable) {
        let mut closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if closed_until.is_none_or(|until| until <= now) {
            warn!(shard, %error, "messages cannot be deleted, their events come again");
            *closed_until = Some(now + LANE_PAUSE);
        }
    }
}
