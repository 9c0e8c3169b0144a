//! A long poll, decided in pure code: what is read, and when and with what it is
//! answered. The merge of stored and live messages is a session's own.

use bytes::Bytes;
use schemas::stored::{Head, MessagesFrame};

use crate::session::{
    Work,
    feed::{self, Feed, Live},
};

/// One poll of a device's inbox, from its beginning to its answer.
#[derive(Debug)]
pub(super) struct Wait {
    feed: Feed,
    /// Most messages in the answer.
    limit: usize,
    patience: Patience,
    /// A read is under way.
    reading: bool,
    /// Some read came back.
    has_read: bool,
    /// A read failed after the patience was over.
    has_failed: bool,
}

/// How long the poll waits on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Until there is a message.
    Waits,
    /// Until the leader has been asked, too: what is lost on the way and hidden
    /// by a replica that lags would else wait for the next poll to be told.
    LooksOnceMore {
        /// Whether it is asked.
        asks: bool,
    },
    /// Until it is known that the inbox can be read at all.
    Leaves,
}

/// The end of a poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Messages, or none: the JSON text of `{items}`.
    Items(Bytes),
    /// The inbox could not be read.
    Unavailable,
}

impl Wait {
    /// A poll for up to so many messages.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            feed: Feed::default(),
            limit,
            patience: Patience::Waits,
            reading: false,
            has_read: false,
            has_failed: false,
        }
    }

    /// What is to be done now, and the answer, if it is time for one.
    pub(super) fn next(&mut self, work: &mut Vec<Work>) -> Option<Answer> {
        if let Some(items) = self.items(work) {
            return Some(Answer::Items(items));
        }
        if self.is_over() {
            let nothing = || Answer::Items(MessagesFrame::list_with_capacity(0).finish().into());
            return Some(if self.has_read { nothing() } else { Answer::Unavailable });
        }
        if let Patience::LooksOnceMore { asks } = &mut self.patience
            && self.has_read
            && !self.reading
        {
            *asks = true;
            self.feed.look_at_leader();
        }
        if let Some(read) = self.feed.next_read(self.limit) {
            self.reading = true;
            work.push(Work::ReadInbox(read));
        }
        None
    }

    /// Live messages arrived; `lost` where some may be missing.
    pub(super) fn live(&mut self, messages: Vec<Live>, lost: bool) {
        for live in messages {
            self.feed.live(live, self.limit);
        }
        if lost {
            self.feed.look_again();
        }
    }

    /// A read came back, or failed.
    pub(super) fn page(&mut self, page: Option<feed::Page>) {
        self.reading = false;
        match page {
            Some(page) => {
                self.has_read = true;
                self.feed.page(page, self.limit);
            }
            None => {
                self.feed.read_failed();
                self.has_failed |= self.patience != Patience::Waits;
            }
        }
    }

    /// It is time to look whether something was missed with nothing after it to
    /// tell.
    pub(super) fn settle(&mut self) {
        self.feed.look_again();
    }

    /// The time to wait is up.
    pub(super) fn time_is_up(&mut self) {
        self.patience = Patience::LooksOnceMore { asks: false };
    }

    /// Somebody else waits from here on, or elsewhere.
    pub(super) fn leave(&mut self) {
        self.patience = Patience::Leaves;
    }

    /// What is under way takes too long.
    pub(super) fn give_up(&mut self) {
        self.reading = false;
        self.has_failed = true;
        self.leave();
    }

    /// Whether there is time left.
    pub(super) fn is_patient(&self) -> bool {
        self.patience == Patience::Waits
    }

    /// Whether it found nothing and waits for a message.
    pub(super) fn is_waiting(&self) -> bool {
        self.has_read && !self.reading && self.is_patient()
    }

    fn is_over(&self) -> bool {
        match self.patience {
            Patience::Waits => false,
            Patience::LooksOnceMore { asks } => !self.reading && (asks || self.has_failed),
            Patience::Leaves => self.has_read || self.has_failed,
        }
    }

    /// The messages that are there. One that cannot be read is put aside.
    fn items(&mut self, work: &mut Vec<Work>) -> Option<Bytes> {
        loop {
            let (count, bytes) = self.feed.next_batch(self.limit);
            if count == 0 {
                return None;
            }
            let mut list = MessagesFrame::list_with_capacity(bytes);
            for entry in (0..count).map_while(|_| self.feed.pop()) {
                match Head::parse(&entry.stored) {
                    Ok(_) => list.push(entry.seq, &entry.stored),
                    Err(_) => work.push(Work::Bury(entry)),
                }
            }
            if list.items() > 0 {
                return Some(list.finish().into());
            }
        }
    }
}

#[cfg(test)]
#[path = "wait_tests.rs"]
mod tests;
