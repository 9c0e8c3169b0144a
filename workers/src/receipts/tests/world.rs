//! The stores as the tests have them: in memory, slow, failing, and watchful.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use nats::receipts::Revised;
use schemas::{
    Micros,
    event::{ReadMarks, Watermark},
};

use crate::receipts::{
    fold::{InboxKey, ReceiptKey},
    stores::{Bucket, Inboxes, Unavailable, Unwritten},
};

/// How one request to a store goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// Well, after others had this many chances to come in between.
    Fine(u8),
    /// Nothing happens and an error comes back.
    Fails,
    /// It happens, but an error comes back.
    Unheard,
}

/// A message in an inbox, and the watermark that must cover it before it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Nothing for one's own copies.
    pub(super) receipt: Option<ReceiptKey>,
    pub(super) ts: Micros,
    pub(super) acked: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    values: HashMap<String, Revised>,
    revision: u64,
    purges: u64,
    deletes: u64,
    inboxes: HashMap<InboxKey, BTreeMap<u64, Entry>>,
    /// Of the requests to come, the last one first.
    fates: Vec<Fate>,
}

impl World {
    pub(super) fn new(inboxes: HashMap<InboxKey, BTreeMap<u64, Entry>>, fates: Vec<Fate>) -> Self {
        Self(Arc::new(Mutex::new(State { inboxes, fates, ..State::default() })))
    }

    pub(super) fn watermark(&self, key: &ReceiptKey) -> Watermark {
        self.state().watermark(key)
    }

    pub(super) fn read_marks(&self, key: &str) -> ReadMarks {
        let state = self.state();
        let value = state.values.get(key);
        value.map(|value| serde_json::from_slice(&value.value).unwrap()).unwrap_or_default()
    }

    pub(super) fn keys(&self) -> BTreeSet<String> {
        self.state().values.keys().cloned().collect()
    }

    pub(super) fn writes(&self) -> u64 {
        self.state().revision
    }

    /// How many purges and how many deletes there were.
    pub(super) fn removals(&self) -> (u64, u64) {
        let state = self.state();
        (state.purges, state.deletes)
    }

    pub(super) fn left(&self, inbox: &InboxKey) -> Vec<u64> {
        self.state()
            .inboxes
            .get(inbox)
            .into_iter()
            .flat_map(|inbox| inbox.keys().copied())
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Does one request as fate has it.
    async fn request<T>(&self, effect: impl FnOnce(&mut State) -> T) -> Result<T, Unavailable> {
        let fate = self.state().fates.pop().unwrap_or(Fate::Fine(0));
        let lost = || Err(Unavailable::new("as fate has it"));
        match fate {
            Fate::Fine(chances) => {
                for _ in 0..chances {
                    tokio::task::yield_now().await;
                }
                Ok(effect(&mut self.state()))
            }
            Fate::Fails => lost(),
            Fate::Unheard => {
                effect(&mut self.state());
                lost()
            }
        }
    }
}

impl State {
    fn watermark(&self, key: &ReceiptKey) -> Watermark {
        let value = self.values.get(&key.subject());
        value.map(|value| serde_json::from_slice(&value.value).unwrap()).unwrap_or_default()
    }

    fn put(&mut self, key: &str, value: Bytes, revision: u64) -> Result<u64, Unwritten> {
        let stored = self.values.get(key);
        if stored.map_or(0, |stored| stored.revision) != revision {
            return Err(Unwritten::Conflict);
        }
        if let Some(stored) = stored {
            assert_rises(key, &stored.value, &value);
        }
        self.revision += 1;
        let revision = self.revision;
        self.values.insert(key.to_owned(), Revised { value, revision });
        Ok(revision)
    }

    fn remove(&mut self, inbox: InboxKey, seq: u64) {
        let Some(entry) = self.inboxes.entry(inbox).or_default().remove(&seq) else { return };
        assert!(entry.acked, "{inbox:?}/{seq} was deleted but never acknowledged");
        if let Some(key) = entry.receipt {
            let delivered = self.watermark(&key).delivered;
            assert!(delivered >= entry.ts, "{inbox:?}/{seq} was deleted before its watermark");
        }
    }
}

fn assert_rises(key: &str, old: &[u8], new: &[u8]) {
    if key.contains(".receipt.") {
        let [old, new] = [old, new].map(|text| serde_json::from_slice::<Watermark>(text).unwrap());
        assert_eq!(new.join(old), new, "{key} went back");
        assert_ne!(new, old, "{key} was written for nothing");
        assert!(new.read <= new.delivered, "{key} is read beyond delivered");
    } else {
        let [old, new] = [old, new].map(|text| serde_json::from_slice::<ReadMarks>(text).unwrap());
        assert_ne!(new.marks, old.marks, "{key} was written for nothing");
        for (from, mark) in &old.marks {
            assert!(new.marks[from] >= *mark, "{key} went back");
        }
    }
}

impl Bucket for World {
    async fn get(&self, key: &str) -> Result<Option<Revised>, Unavailable> {
        self.request(|state| state.values.get(key).cloned()).await
    }

    async fn get_newest(&self, key: &str) -> Result<Option<Revised>, Unavailable> {
        self.request(|state| state.values.get(key).cloned()).await
    }

    async fn put(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, Unwritten> {
        let put = self.request(|state| state.put(key, value, revision)).await;
        put.unwrap_or_else(|error| Err(Unwritten::Unavailable(error)))
    }
}

impl Inboxes for World {
    async fn delete(&self, inbox: InboxKey, seq: u64) -> Result<(), Unavailable> {
        self.request(|state| {
            state.deletes += 1;
            state.remove(inbox, seq);
        })
        .await
    }

    async fn purge(&self, inbox: InboxKey, up_to: u64) -> Result<u64, Unavailable> {
        self.request(|state| {
            let there = state.inboxes.entry(inbox).or_default();
            let purged: Vec<u64> = there.range(..=up_to).map(|(seq, _)| *seq).collect();
            purged.iter().for_each(|seq| state.remove(inbox, *seq));
            state.purges += 1;
            purged.len() as u64
        })
        .await
    }

    async fn oldest(&self, inbox: InboxKey) -> Result<Option<u64>, Unavailable> {
        let oldest = |state: &mut State| state.inboxes.get(&inbox)?.keys().next().copied();
        self.request(oldest).await
    }
}
