//! What came: shown once, acknowledged when it is stored.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use schemas::{ChatId, MessageId, Micros, UserId, server::Item};

/// How many messages are remembered to tell second copies. A copy comes again
/// when an ack was lost (at most a window of 256) or when a sender retried
/// beyond the server's own memory: both are recent.
const REMEMBERED: usize = 1 << 16;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    shown: HashSet<(UserId, MessageId)>,
    shown_order: VecDeque<(UserId, MessageId)>,
    /// Given to the user, not stored yet; kept across connections.
    unstored: BTreeSet<u64>,
    /// Received on this connection, not acknowledged on it; rising.
    unacked: VecDeque<u64>,
    newest: BTreeMap<ChatId, Micros>,
}

impl Inbox {
    /// With what an earlier process had seen.
    pub(super) fn new(newest: BTreeMap<ChatId, Micros>) -> Self {
        Self { newest, ..Self::default() }
    }

    /// Takes a message in; whether it is to be shown.
    pub(super) fn receive(&mut self, item: &Item) -> bool {
        self.unacked.push_back(item.seq);
        let key = (item.from, item.id.clone());
        if !self.shown.insert(key.clone()) {
            return false;
        }
        self.shown_order.push_back(key);
        if self.shown_order.len() > REMEMBERED
            && let Some(oldest) = self.shown_order.pop_front()
        {
            self.shown.remove(&oldest);
        }
        self.unstored.insert(item.seq);
        true
    }

    /// The user has stored everything up to here.
    pub(super) fn stored(&mut self, seq: u64) {
        while self.unstored.first().is_some_and(|first| *first <= seq) {
            self.unstored.pop_first();
        }
    }

    /// What may be acknowledged now and is not yet; asked once, then it is.
    pub(super) fn ack_due(&mut self) -> Option<u64> {
        let first_unstored = self.unstored.first().copied().unwrap_or(u64::MAX);
        let mut due = None;
        while self.unacked.front().is_some_and(|seq| *seq < first_unstored) {
            due = self.unacked.pop_front();
        }
        due
    }

    /// A message of this `ts` was seen in the chat.
    pub(super) fn saw(&mut self, chat: ChatId, ts: Micros) {
        let newest = self.newest.entry(chat).or_default();
        *newest = ts.max(*newest);
    }

    /// The largest `ts` seen in a chat.
    pub(super) fn newest(&self, chat: ChatId) -> Option<Micros> {
        self.newest.get(&chat).copied()
    }

    /// The largest `ts` seen, per chat.
    pub(super) fn all_newest(&self) -> &BTreeMap<ChatId, Micros> {
        &self.newest
    }

    /// The server sends what is not acknowledged again on the next connection.
    pub(super) fn disconnected(&mut self) {
        self.unacked.clear();
    }
}
