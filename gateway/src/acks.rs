//! What the sessions acknowledged and read, on its way to the receipts worker.
//!
//! One task gathers it from all sessions and publishes it in batches: at once
//! when the line is quiet, and at most every [`INTERVAL`] when it is not. While
//! nobody takes it, it waits, and in the end the sessions with it; but not for
//! long, since a session that waits delivers nothing. Then the oldest is let go.
//! Lost so, or with the gateway, it is no harm: the messages are still in their
//! inboxes and come again (DESIGN 5). Who has to answer for it is told when it
//! is published.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use nats::{bus::Bus, subject};
use schemas::{
    ChatId, DeviceId, ErrorCode, UserId,
    event::{Acked, Mark, MarkedRead, ReceiptsBatch},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

use crate::session::Refusal;

/// The shortest time between two batches.
const INTERVAL: Duration = Duration::from_millis(2);
/// Most acknowledgements and reads that wait; then the sessions do, for some time.
const WAITING: usize = 4096;
/// Most of them in one batch.
const BATCH: usize = 1024;
/// Most bytes of one batch, well below nats-server's own limit of 1 MiB.
const BATCH_BYTES: usize = 256 * 1024;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How long it may take to be published, for who waits for that.
const HAND_OVER: Duration = Duration::from_secs(10);
/// How long sessions may wait for room while nothing is taken. A stream that
/// lost its leader is without one for about 8 s.
const FAILING_FOR: Duration = Duration::from_secs(15);

/// A handle for sessions.
#[derive(Debug, Clone)]
pub(crate) struct Acks {
    queue: mpsc::Sender<Queued>,
}

/// What the receipts worker is told.
#[derive(Debug)]
pub(crate) enum Item {
    /// A device acknowledged messages.
    Acked(Acked),
    /// A user read messages.
    Read(MarkedRead),
}

/// It was not published, as far as is known: the worker may still get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("receipts are not taken")]
pub(crate) struct NotTaken;

#[derive(Debug)]
struct Queued {
    item: Item,
    /// Who is told that it is published; gone with it if it is let go.
    published: Option<oneshot::Sender<()>>,
}

impl Acks {
    /// Starts the task; it ends when the last handle is gone and all is published.
    pub(crate) fn start(bus: Bus, tasks: &TaskTracker) -> Self {
        let (queue, items) = mpsc::channel(WAITING);
        let publisher = Publisher { bus, queue: items, taken: Vec::new(), failing_since: None };
        tasks.spawn(publisher.run());
        Self { queue }
    }

    /// Takes it; it is published soon.
    pub(crate) async fn tell(&self, item: Item) {
        count(&item);
        // The task outlives every handle.
        let _ = self.queue.send(Queued { item, published: None }).await;
    }

    /// Returns once it is published.
    ///
    /// # Errors
    /// [`NotTaken`] when that takes longer than 10 s.
    pub(crate) async fn hand_over(&self, item: Item) -> Result<(), NotTaken> {
        count(&item);
        let (published, told) = oneshot::channel();
        let handed_over = async {
            let queued = Queued { item, published: Some(published) };
            self.queue.send(queued).await.map_err(|_| NotTaken)?;
            told.await.map_err(|_| NotTaken)
        };
        timeout(HAND_OVER, handed_over).await.unwrap_or(Err(NotTaken))
    }
}

impl From<NotTaken> for Refusal {
    fn from(error: NotTaken) -> Self {
        Self::new(ErrorCode::Unavailable, error.to_string())
    }
}

fn count(item: &Item) {
    if let Item::Acked(acked) = item {
        metrics::counter!("petrel_messages_acked_total").increment(acked.seqs.len() as u64);
    }
}

/// The task.
struct Publisher {
    bus: Bus,
    queue: mpsc::Receiver<Queued>,
    /// Out of the queue and not published, oldest first; at most [`WAITING`].
    taken: Vec<Queued>,
    /// Since when nobody takes them.
    failing_since: Option<Instant>,
}

impl Publisher {
    async fn run(mut self) {
        let mut next = Instant::now();
        while !self.taken.is_empty() || self.queue.recv_many(&mut self.taken, BATCH).await > 0 {
            if Instant::now() < next {
                tokio::time::sleep_until(next).await;
                while self.taken.len() < BATCH {
                    let Ok(item) = self.queue.try_recv() else { break };
                    self.taken.push(item);
                }
            }
            next = Instant::now() + INTERVAL;
            let oldest = self.taken.len().min(BATCH);
            let mut waiting = Vec::new();
            let items = self.taken.drain(..oldest).map(|Queued { item, published }| {
                waiting.extend(published);
                item
            });
            for batch in batches(items) {
                self.publish(&batch).await;
            }
            for published in waiting {
                // Who does not wait any more need not know.
                let _ = published.send(());
            }
        }
    }

    async fn publish(&mut self, batch: &ReceiptsBatch) {
        let payload: Bytes = match serde_json::to_vec(batch) {
            Ok(json) => json.into(),
            Err(error) => return tracing::error!(%error, "a batch of receipts has no JSON form"),
        };
        let jetstream = self.bus.jetstream.clone();
        let mut retry = FIRST_RETRY;
        loop {
            let published =
                async { jetstream.publish(subject::RECEIPTS, payload.clone()).await?.await };
            match published.await {
                Ok(_) => return self.failing_since = None,
                Err(error) => tracing::warn!(%error, "receipts are not taken, trying again"),
            }
            let failing_since = *self.failing_since.get_or_insert_with(Instant::now);
            if failing_since.elapsed() < FAILING_FOR {
                tokio::time::sleep(retry).await;
            } else {
                self.make_room(retry).await;
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    /// Takes what the sessions bring for so long, and lets go of the oldest of
    /// it: what came last mostly says as much.
    async fn make_room(&mut self, time: Duration) {
        let mut gone = 0;
        let taking = async {
            while self.queue.recv_many(&mut self.taken, BATCH).await > 0 {
                let oldest = self.taken.len().saturating_sub(WAITING);
                gone += self.taken.drain(..oldest).len();
            }
            // No session is left that could wait.
            std::future::pending().await
        };
        let _: Result<(), _> = tokio::time::timeout(time, taking).await;
        if gone > 0 {
            tracing::warn!(gone, "receipts are let go: their messages come again");
            metrics::counter!("petrel_receipts_let_go_total").increment(gone as u64);
        }
    }
}

/// Joins the items of each device, and cuts at [`BATCH_BYTES`].
fn batches(items: impl Iterator<Item = Item>) -> Vec<ReceiptsBatch> {
    let mut acked = BTreeMap::<(UserId, DeviceId), Acked>::new();
    let mut read = Vec::new();
    for item in items {
        match item {
            Item::Acked(new) => match acked.get_mut(&(new.user, new.device)) {
                Some(old) => join(old, new),
                None => drop(acked.insert((new.user, new.device), new)),
            },
            Item::Read(new) => read.push(new),
        }
    }
    let mut batches = vec![ReceiptsBatch::default()];
    let mut bytes = 0;
    let mut room_for = |batches: &mut Vec<ReceiptsBatch>, more: usize| {
        if bytes > 0 && bytes + more > BATCH_BYTES {
            batches.push(ReceiptsBatch::default());
            bytes = 0;
        }
        bytes += more;
    };
    // Generous estimates: an id takes 28 bytes of JSON, a number at most 20.
    for acked in acked.into_values() {
        room_for(&mut batches, 128 + 21 * acked.seqs.len() + 128 * acked.marks.len());
        batches.last_mut().into_iter().for_each(|batch| batch.acked.push(acked.clone()));
    }
    for read in read {
        room_for(&mut batches, 192 + 128 * read.marks.len());
        batches.last_mut().into_iter().for_each(|batch| batch.read.push(read.clone()));
    }
    batches
}

fn join(old: &mut Acked, new: Acked) {
    old.seqs.extend(new.seqs);
    let mut newest: BTreeMap<(ChatId, UserId), Mark> =
        old.marks.iter().map(|mark| ((mark.chat, mark.from), *mark)).collect();
    for mark in new.marks {
        let kept = newest.entry((mark.chat, mark.from)).or_insert(mark);
        kept.ts = kept.ts.max(mark.ts);
    }
    old.marks = newest.into_values().collect();
}

#[cfg(test)]
mod tests {
    use schemas::Micros;

    use super::*;

    fn acked(user: u64, seqs: std::ops::Range<u64>, from: u64) -> Item {
        let (user, from) = (UserId::from_parts(user, 0), UserId::from_parts(from, 0));
        let ts = Micros(seqs.end as i64);
        Item::Acked(Acked {
            user,
            device: DeviceId::from_parts(1, 0),
            seqs: seqs.collect(),
            marks: vec![Mark { chat: ChatId::User(from), from, ts }],
        })
    }

    #[test]
    fn the_acks_of_a_device_are_one() {
        let items =
            vec![acked(1, 0..3, 7), acked(2, 5..6, 7), acked(1, 3..9, 7), acked(1, 9..10, 8)];
        let batches = batches(items.into_iter());
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].acked.len(), 2);
        assert_eq!(batches[0].acked[0].seqs, (0..10).collect::<Vec<_>>());
        let ts: Vec<_> = batches[0].acked[0].marks.iter().map(|mark| mark.ts).collect();
        assert_eq!(ts, [Micros(9), Micros(10)]);
    }

    #[test]
    fn no_batch_is_larger_than_nats_takes() {
        let items = (0..BATCH as u64).map(|user| acked(user, 0..256, 7));
        let batches = batches(items);
        assert!(batches.len() > 1);
        assert_eq!(batches.iter().map(|batch| batch.acked.len()).sum::<usize>(), BATCH);
        for batch in batches {
            let bytes = serde_json::to_vec(&batch).map_or(usize::MAX, |json| json.len());
            assert!(bytes <= BATCH_BYTES, "{bytes}");
        }
    }
}
