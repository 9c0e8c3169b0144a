//! The receipts worker: it makes watermarks of acknowledgements and read marks,
//! and deletes what was delivered.
//!
//! The watermark comes first and the delete second: whatever dies in between,
//! the event comes again, and neither raising a watermark nor deleting a
//! message twice changes anything.

mod fold;
mod ledger;
mod recent;
mod removal;
mod stores;

use async_nats::jetstream;
use nats::subject::Shards;
use schemas::event::ReceiptsBatch;
use tokio::sync::Mutex;
use tracing::warn;

use crate::runner::{Handler, Turn, Undecodable, Verdict};

use fold::{Fold, fold};
use ledger::Ledger;
use removal::Removal;
use stores::{Bucket, Inboxes};

/// Handles [`ReceiptsBatch`] events.
pub(crate) struct Receipts<B, I> {
    /// One batch raises watermarks at a time, so that a process never gets
    /// into its own way; what comes meanwhile becomes the next batch.
    ledger: Mutex<Ledger<B>>,
    removal: Removal<I>,
}

impl<B: Bucket, I: Inboxes> Receipts<B, I> {
    /// `in_flight` bounds the deletes and purges that are under way at once.
    pub(crate) fn new(bucket: B, inboxes: I, shards: Shards, in_flight: usize) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(bucket)),
            removal: Removal::new(inboxes, shards, in_flight),
        }
    }
}

impl<B: Bucket, I: Inboxes> Handler for Receipts<B, I> {
    type Event = ReceiptsBatch;

    fn decode(&self, message: &jetstream::Message) -> Result<ReceiptsBatch, Undecodable> {
        serde_json::from_slice(&message.payload).map_err(Undecodable::new)
    }

    async fn handle(&self, events: &[ReceiptsBatch], turn: Turn) -> Vec<Verdict> {
        let Fold { receipts, reads, acked } = fold(events);
        if let Err(error) = self.ledger.lock().await.raise(&receipts, &reads).await {
            warn!(events = events.len(), %error, "watermarks cannot be written, their events come again");
            return vec![Verdict::Retry; events.len()];
        }
        // From here on the next batch may be pulled: deletes neither need an
        // order nor keep anybody waiting.
        drop(turn);
        let left = self.removal.remove(&acked).await;
        let done =
            |event: &ReceiptsBatch| !event.acked.iter().any(|acked| left.contains(&acked.into()));
        events
            .iter()
            .map(|event| if done(event) { Verdict::Done } else { Verdict::Retry })
            .collect()
    }
}

#[cfg(test)]
mod tests;
