//! Delivered messages leave their inboxes: one by one, or with a purge where
//! one device acknowledged many that lie close (docs/adr/0002-delete-or-purge.md).

mod lanes;
mod underway;

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use futures_util::{StreamExt as _, stream};
use metrics::counter;
use nats::subject::Shards;
use tracing::error;

use self::{lanes::Lanes, underway::Underway};
use super::{
    fold::{InboxKey, Run},
    stores::{Inboxes, Unavailable},
};

/// Inboxes that one batch removes from at a time. Deletes and purges have
/// their own, tighter bound, which is one for all batches.
const INBOXES_AT_A_TIME: usize = 512;
/// Messages of one inbox that are deleted at a time.
const DELETES_AT_A_TIME: usize = 32;
/// Fewer messages are always deleted one by one.
const PURGE_FROM: u64 = 4;
/// A purge looks through everything between the first and the last message.
/// For so many positions it takes as long as one delete more.
const PURGE_SPAN: u64 = 512;

/// Removes messages, a bounded number at a time.
pub(crate) struct Removal<I> {
    inboxes: I,
    shards: Shards,
    lanes: Lanes,
    underway: Underway,
}

impl<I: Inboxes> Removal<I> {
    /// `in_flight` bounds the requests that are under way at once.
    pub(crate) fn new(inboxes: I, shards: Shards, in_flight: usize) -> Self {
        let lanes = Lanes::new(shards, in_flight);
        Self { inboxes, shards, lanes, underway: Underway::default() }
    }

    /// Removes these messages; answers in which inboxes some are left.
    pub(crate) async fn remove(&self, acked: &HashMap<InboxKey, Vec<Run>>) -> HashSet<InboxKey> {
        let removals: Vec<_> = acked
            .iter()
            .map(async |(inbox, runs)| self.clear(*inbox, runs).await.err().map(|_| *inbox))
            .collect();
        stream::iter(removals)
            .buffer_unordered(INBOXES_AT_A_TIME)
            .filter_map(async |left| left)
            .collect()
            .await
    }

    async fn clear(&self, inbox: InboxKey, runs: &[Run]) -> Result<(), Unavailable> {
        let _alone = self.underway.wait_for(inbox).await;
        let mut few = Vec::new();
        for run in runs {
            if let Some(purge) = Purge::of(run) {
                self.delete_each(inbox, &mem::take(&mut few)).await?;
                if self.is_oldest(inbox, purge.first).await? {
                    self.purge(inbox, purge).await?;
                    continue;
                }
            }
            few.extend_from_slice(run);
        }
        self.delete_each(inbox, &few).await
    }

    /// Whether nothing older lies in the inbox. A purge would take that along,
    /// before its own event came and its watermark was written.
    ///
    /// A replica that lags can make this no, but not wrongly yes: one that has
    /// this message or a later one has seen all that came before.
    async fn is_oldest(&self, inbox: InboxKey, seq: u64) -> Result<bool, Unavailable> {
        let oldest = self.inboxes.oldest(inbox).await?;
        Ok(oldest.is_some_and(|oldest| oldest >= seq))
    }

    async fn purge(&self, inbox: InboxKey, purge: Purge) -> Result<(), Unavailable> {
        let Purge { up_to, acked, .. } = purge;
        let purging = self.inboxes.purge(inbox, up_to);
        let purged = self.lanes.take(self.shards.of(inbox.user), purging).await?;
        counter!("petrel_receipts_purges_total").increment(1);
        if purged > acked {
            // The alarm for a session that acknowledged with a hole after all.
            let InboxKey { user, device } = inbox;
            error!(%user, %device, up_to, purged, acked, "a purge took what nobody acknowledged");
        }
        Ok(())
    }

    async fn delete_each(&self, inbox: InboxKey, seqs: &[u64]) -> Result<(), Unavailable> {
        let shard = self.shards.of(inbox.user);
        let delete =
            async |seq: &u64| self.lanes.take(shard, self.inboxes.delete(inbox, *seq)).await;
        let outcome = match seqs {
            [seq] => delete(seq).await,
            _ => {
                let deletes: Vec<_> = seqs.iter().map(delete).collect();
                let deletes = stream::iter(deletes).buffer_unordered(DELETES_AT_A_TIME);
                deletes.fold(Ok(()), async |all, one| all.and(one)).await
            }
        };
        if outcome.is_ok() {
            counter!("petrel_receipts_deletes_total").increment(seqs.len() as u64);
        }
        outcome
    }
}

/// One purge in the place of many deletes.
#[derive(Debug, Clone, Copy)]
struct Purge {
    first: u64,
    up_to: u64,
    acked: u64,
}

impl Purge {
    /// The purge of a run, if it pays.
    fn of(run: &Run) -> Option<Self> {
        let (first, up_to, acked) = (*run.first()?, *run.last()?, run.len() as u64);
        let pays = acked >= PURGE_FROM + (up_to - first) / PURGE_SPAN;
        pays.then_some(Self { first, up_to, acked })
    }
}
