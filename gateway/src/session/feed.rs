//! The merge of an inbox's backlog with its live messages (DESIGN 3).
//!
//! The subscription runs before the first read, so nothing can fall between.
//! What the two bring overlaps, lags and has holes; what comes out rises in
//! `seq` and misses nothing:
//!
//! - A live message says which one was stored before it. If that one is newer
//!   than the last one here, something is missing: it is read from the store.
//! - While a read is under way, live messages wait for it.
//! - With no room in the window nothing is kept: the store has it, and the feed
//!   reads on from there when acks come.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use schemas::limits::{MESSAGES_BYTES, WINDOW};

/// When it is time to [look again](Feed::look_again) for the first time.
pub(crate) const FIRST_SETTLE: Duration = Duration::from_millis(1500);
/// And from then on.
pub(crate) const SETTLE: Duration = Duration::from_secs(30);
/// Most live messages that wait for a read; beyond it they are read instead.
const PARKED: usize = WINDOW;
/// Most bytes that an item takes in a frame besides what is stored: its `seq`
/// and a comma.
const SEQ_BYTES: usize = r#"{"seq":18446744073709551615,"#.len();
/// What a frame takes besides its items.
const FRAME_BYTES: usize = r#"{"type":"messages","items":[]}"#.len();
/// Reads from a replica that did not show what a live message told of, before
/// the leader is asked.
const REPLICA_READS: u8 = 3;

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its position in the inbox.
    pub seq: u64,
    /// Its JSON text, as stored.
    pub stored: Bytes,
}

/// A stored message, as it is told of at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Live {
    /// The message.
    pub entry: Entry,
    /// The newest message of this inbox that was there before it; 0 for none.
    pub previous: u64,
}

/// A read that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// The first position wanted.
    pub from: u64,
    /// Most messages wanted, at least one.
    pub items: usize,
    /// How many reads in a row came back without what must be there.
    pub attempt: u8,
    /// Whether to ask the leader, for one message: replicas lag.
    pub leader: bool,
}

/// What a read brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// In `seq` order.
    pub entries: Vec<Entry>,
    /// Whether the store showed nothing beyond them.
    pub end: bool,
}

/// One device's inbox, as far as this session has followed it.
#[derive(Debug)]
pub(crate) struct Feed {
    /// All up to here is in `ready`, or was taken from it.
    position: u64,
    /// The newest position that is known to have been filled.
    known: u64,
    ready: VecDeque<Entry>,
    /// The read under way, if there is one.
    reading: Option<Read>,
    /// Live messages that wait for it, at most [`PARKED`].
    parked: Vec<Live>,
    /// Something beyond `position` may be in the store only.
    behind: bool,
    /// The next read is one of the leader, whatever replicas have shown.
    leader: bool,
    /// How many reads in a row did not get to `known`.
    fruitless: u8,
    /// The last message taken.
    taken: u64,
    /// Where the first read that came to the end left off.
    caught_up_at: Option<u64>,
}

impl Default for Feed {
    /// Nothing has been read yet, so a read is due.
    fn default() -> Self {
        Self {
            position: 0,
            known: 0,
            ready: VecDeque::new(),
            reading: None,
            parked: Vec::new(),
            behind: true,
            leader: false,
            fruitless: 0,
            taken: 0,
            caught_up_at: None,
        }
    }
}

impl Feed {
    /// A live message arrived; `room` is how many the window takes.
    pub(crate) fn live(&mut self, live: Live, room: usize) {
        if live.entry.seq <= self.position {
            return;
        }
        self.known = self.known.max(live.previous);
        let waits = self.reading.is_some() || !self.parked.is_empty();
        if waits {
            self.park(live);
        } else if self.behind || self.ready.len() >= room {
            self.leave_to_store(live.entry.seq);
        } else if live.previous > self.position {
            self.behind = true;
            self.park(live);
        } else {
            self.accept(live.entry);
        }
    }

    /// Live messages may have been lost, or it is time to look whether: the
    /// store is read once more.
    pub(crate) fn look_again(&mut self) {
        self.behind = true;
    }

    /// The same, and the leader is asked: for who is about to say that there is
    /// nothing. Only while no read is under way.
    pub(crate) fn look_at_leader(&mut self) {
        debug_assert!(self.reading.is_none());
        self.behind = true;
        self.leader = true;
    }

    /// The read to start now, if one is due and there is room for what it brings.
    pub(crate) fn next_read(&mut self, room: usize) -> Option<Read> {
        let room = room.saturating_sub(self.ready.len());
        if !self.behind || self.reading.is_some() || room == 0 {
            return None;
        }
        self.behind = false;
        let leader = std::mem::take(&mut self.leader) || self.fruitless >= REPLICA_READS;
        let read = Read { from: self.position + 1, items: room, attempt: self.fruitless, leader };
        self.reading = Some(read);
        Some(read)
    }

    /// The read came back; `room` is how many messages the window takes now.
    pub(crate) fn page(&mut self, page: Page, room: usize) {
        let Some(read) = self.reading.take() else { return };
        // What even the leader does not have is no longer there: it was deleted.
        let is_all = read.leader && page.entries.is_empty();
        for entry in page.entries {
            if entry.seq > self.position {
                self.accept(entry);
            }
        }
        if !page.end {
            self.behind = true;
            return;
        }
        self.unpark(is_all, room);
        if is_all {
            self.known = self.position;
        }
        if self.position < self.known {
            // The replica that answered lags: read again, and at last from the leader.
            self.behind = true;
            self.fruitless = self.fruitless.saturating_add(1);
        } else {
            self.fruitless = 0;
            self.caught_up_at.get_or_insert(self.position);
        }
    }

    /// The read failed; it is due again.
    pub(crate) fn read_failed(&mut self) {
        self.reading = None;
        self.behind = true;
    }

    /// Takes the next message.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.ready.pop_front()?;
        self.taken = entry.seq;
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        Some(entry)
    }

    /// How many of the next messages fit one frame of at most `items` messages
    /// and 256 KiB, and how many bytes it has then at most.
    pub(crate) fn next_batch(&self, items: usize) -> (usize, usize) {
        let (mut count, mut bytes) = (0, FRAME_BYTES);
        for entry in self.ready.iter().take(items) {
            let longer = bytes + SEQ_BYTES + entry.stored.len();
            if count > 0 && longer > MESSAGES_BYTES {
                break;
            }
            (count, bytes) = (count + 1, longer);
        }
        (count, bytes)
    }

    /// Whether all that was stored before the session began has been taken.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up_at.is_some_and(|position| self.taken >= position || self.ready.is_empty())
    }

    fn accept(&mut self, entry: Entry) {
        self.position = entry.seq;
        self.ready.push_back(entry);
    }

    fn park(&mut self, live: Live) {
        self.parked.push(live);
        if self.parked.len() > PARKED {
            for live in std::mem::take(&mut self.parked) {
                self.leave_to_store(live.entry.seq);
            }
        }
    }

    fn leave_to_store(&mut self, seq: u64) {
        self.known = self.known.max(seq);
        self.behind = true;
    }

    /// Goes through the live messages that waited for a read that came to the
    /// end. Where one still tells of a message that the read did not bring, it
    /// and those after it wait on.
    fn unpark(&mut self, is_all: bool, room: usize) {
        let mut parked = std::mem::take(&mut self.parked);
        parked.sort_by_key(|live| live.entry.seq);
        let mut waiting = parked.into_iter();
        while let Some(live) = waiting.next() {
            if live.entry.seq <= self.position {
                continue;
            }
            if self.ready.len() >= room {
                let newest = waiting.next_back().unwrap_or(live);
                return self.leave_to_store(newest.entry.seq);
            }
            if live.previous > self.position && !is_all {
                self.parked = std::iter::once(live).chain(waiting).collect();
                return;
            }
            self.accept(live.entry);
        }
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
