//! What is to be sent: per chat in order, until it is confirmed.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use schemas::{ChatId, ErrorCode, MessageId, Micros, RawBody, client};
use serde::{Deserialize, Serialize};

use super::{clock::ServerClock, inbox::Inbox};

/// Most messages that wait in all chats together.
const QUEUED: usize = 100_000;
/// Most unanswered messages per chat on one connection.
const IN_FLIGHT: usize = 32;
/// Wait after a refusal that names none.
const DEFAULT_WAIT: Duration = Duration::from_millis(500);

/// A message that is not confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unsent {
    /// Its id.
    pub id: MessageId,
    /// Its chat.
    pub chat: ChatId,
    /// Its content.
    pub body: RawBody,
    /// When it was first sent, if it was.
    pub stamp: Option<Stamp>,
}

/// What decides a message's `ts`: taken at its first sending and kept on every
/// retry, so that every gateway gives it the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The server's time, as estimated.
    pub at: Option<Micros>,
    /// The largest `ts` seen in the chat.
    pub after: Option<Micros>,
}

impl Stamp {
    /// The `ts` these make, as long as the server takes `at`.
    fn expected_ts(self) -> Option<Micros> {
        self.at.max(self.after.map(Micros::next))
    }
}

/// Why a message is not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Too many wait.
    #[error("{QUEUED} messages wait already")]
    Full,
    /// The id is in the queue already.
    #[error("a message with this id waits already")]
    Duplicate,
}

/// What an error means for the message it is about.
pub(super) enum Answer {
    /// Given up.
    Failed { id: MessageId, chat: ChatId },
    /// Waits, and its chat with it; `first` of those that are refused in a row.
    Held { id: MessageId, chat: ChatId, retry_in: Duration, first: bool },
}

/// A message that was taken back.
pub(super) struct Removed {
    pub(super) chat: ChatId,
    /// The server holds the chat because of it.
    pub(super) refused: bool,
    /// The `ts` it has if an earlier sending of it was stored after all.
    pub(super) expected_ts: Option<Micros>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    chats: BTreeMap<ChatId, Line>,
    ids: HashSet<MessageId>,
}

/// One chat's queue: first come those under way, then those that wait.
#[derive(Debug, Default)]
struct Line {
    queue: VecDeque<Outgoing>,
    /// The server refused the first: when to try it again.
    held: Option<Instant>,
    /// The time of the last first sending, so that the next is later.
    last_stamp: Option<Stamp>,
}

#[derive(Debug)]
struct Outgoing {
    unsent: Unsent,
    under_way: bool,
}

impl Outbox {
    /// With what an earlier process left, in order. Duplicates are dropped.
    pub(super) fn new(unsent: Vec<Unsent>) -> Self {
        let mut outbox = Self::default();
        for message in unsent {
            // A full queue cannot come from this code, and a duplicate is no loss.
            let _ = outbox.push(message);
        }
        outbox
    }

    pub(super) fn push(&mut self, unsent: Unsent) -> Result<(), QueueError> {
        if self.ids.len() >= QUEUED {
            return Err(QueueError::Full);
        }
        if !self.ids.insert(unsent.id.clone()) {
            return Err(QueueError::Duplicate);
        }
        let line = self.chats.entry(unsent.chat).or_default();
        line.last_stamp = unsent.stamp.or(line.last_stamp);
        line.queue.push_back(Outgoing { unsent, under_way: false });
        Ok(())
    }

    /// The messages to write now, stamped, in order.
    pub(super) fn due(
        &mut self,
        now: Instant,
        clock: &ServerClock,
        inbox: &Inbox,
    ) -> Vec<client::Send> {
        let mut due = Vec::new();
        for (chat, line) in &mut self.chats {
            line.due(now, clock.at(now), inbox.newest(*chat), &mut due);
        }
        due
    }

    /// When a held chat is tried again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.chats.values().filter(|line| line.under_way() == 0).filter_map(|line| line.held).min()
    }

    /// A message is stored; whether it was waited for.
    pub(super) fn sent(&mut self, id: &MessageId, chat: ChatId) -> bool {
        let Some(line) = self.chats.get_mut(&chat) else { return false };
        let first = line.queue.front().is_some_and(|first| first.unsent.id == *id);
        if line.take(id).is_none() {
            return false;
        }
        if first {
            line.held = None;
        }
        self.forget(id, chat);
        true
    }

    /// A message is refused; `None` when no message of this id is under way.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        id: &MessageId,
        code: ErrorCode,
        wait: Duration,
    ) -> Option<Answer> {
        let (&chat, line) = self.chats.iter_mut().find(|(_, line)| line.is_under_way(id))?;
        if code.holds_chat() {
            let first = line.hold(id, now + wait);
            return Some(Answer::Held { id: id.clone(), chat, retry_in: wait, first });
        }
        line.take(id);
        self.forget(id, chat);
        Some(Answer::Failed { id: id.clone(), chat })
    }

    /// Takes a message back that is not under way; `None`: there is no such.
    pub(super) fn remove(&mut self, now: Instant, id: &MessageId) -> Option<Removed> {
        let (&chat, line) = self.chats.iter_mut().find(|(_, line)| line.waits(id))?;
        let first = line.queue.front().is_some_and(|first| first.unsent.id == *id);
        let refused = first && line.held.is_some();
        if refused {
            // The refusals of those behind it may be on their way: the chat goes
            // on when they have come, or a new message would overtake them.
            line.held = Some(now);
        }
        let expected_ts = line.take(id).and_then(|it| it.stamp).and_then(Stamp::expected_ts);
        self.forget(id, chat);
        Some(Removed { chat, refused, expected_ts })
    }

    /// Nothing is under way any more, and the server has forgotten its refusals.
    pub(super) fn disconnected(&mut self) {
        for line in self.chats.values_mut() {
            line.held = None;
            for outgoing in &mut line.queue {
                outgoing.under_way = false;
            }
        }
    }

    /// What is not confirmed, per chat in order.
    pub(super) fn unsent(&self) -> Vec<Unsent> {
        let lines = self.chats.values();
        lines.flat_map(|line| line.queue.iter().map(|outgoing| outgoing.unsent.clone())).collect()
    }

    pub(super) fn default_wait(&self) -> Duration {
        DEFAULT_WAIT
    }

    fn forget(&mut self, id: &MessageId, chat: ChatId) {
        self.ids.remove(id);
        // The last stamp only matters to what is sent before the next answer,
        // which the inbox remembers.
        if self.chats.get(&chat).is_some_and(|line| line.queue.is_empty()) {
            self.chats.remove(&chat);
        }
    }
}

impl Line {
    /// While the chat is held, the first alone finds out whether the server
    /// takes it again; it waits until all refusals have come, so that a late
    /// one is not taken for the answer to a retry.
    fn due(
        &mut self,
        now: Instant,
        at: Option<Micros>,
        newest: Option<Micros>,
        due: &mut Vec<client::Send>,
    ) {
        let mut under_way = self.under_way();
        let room = match self.held {
            Some(until) if under_way > 0 || now < until => return,
            Some(_) => 1,
            None => IN_FLIGHT,
        };
        while under_way < room
            && let Some(next) = self.queue.get_mut(under_way)
        {
            let stamp = *next.unsent.stamp.get_or_insert_with(|| {
                // Those under way have no `ts` yet: what it will be is what was seen.
                let expected = self.last_stamp.and_then(Stamp::expected_ts);
                let later = self.last_stamp.and_then(|last| last.at).map(Micros::next);
                Stamp {
                    at: at.map(|at| later.map_or(at, |later| at.max(later))),
                    after: newest.max(expected),
                }
            });
            self.last_stamp = Some(stamp);
            next.under_way = true;
            under_way += 1;
            due.push(client::Send {
                id: next.unsent.id.clone(),
                chat: next.unsent.chat,
                body: next.unsent.body.clone(),
                at: stamp.at,
                after: stamp.after,
            });
        }
    }

    /// Puts a refused message back to wait; whether it is the first in a row.
    fn hold(&mut self, id: &MessageId, until: Instant) -> bool {
        let first = self.held.is_none() || self.queue.front().is_some_and(|it| it.unsent.id == *id);
        self.held = self.held.max(Some(until));
        // Everything behind it is refused too, but each is told so by itself.
        if let Some(refused) = self.queue.iter_mut().find(|it| it.unsent.id == *id) {
            refused.under_way = false;
        }
        first
    }

    fn under_way(&self) -> usize {
        self.queue.iter().filter(|outgoing| outgoing.under_way).count()
    }

    fn is_under_way(&self, id: &MessageId) -> bool {
        self.queue.iter().take(IN_FLIGHT).any(|it| it.under_way && it.unsent.id == *id)
    }

    fn waits(&self, id: &MessageId) -> bool {
        self.queue.iter().any(|it| !it.under_way && it.unsent.id == *id)
    }

    fn take(&mut self, id: &MessageId) -> Option<Unsent> {
        let position = self.queue.iter().position(|it| it.unsent.id == *id)?;
        self.queue.remove(position).map(|outgoing| outgoing.unsent)
    }
}
