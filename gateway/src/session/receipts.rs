//! What a user's sessions are told of receipts and of reading on other devices:
//! the receipts bucket read after `receipts_after`, merged with its live changes.
//!
//! Unlike an inbox it has no gaps to find: every key keeps its newest value,
//! and all of it only rises. So a message may be told twice, and a doubt is
//! settled by reading again from where the last read ended.

use std::collections::BTreeSet;

use schemas::{
    ChatId, DeviceId,
    server::{ReadSync, Receipt},
};

/// Most live changes that wait for a read; beyond it they are read instead.
const PARKED: usize = 256;
/// Most revisions remembered as told since the last read.
const TOLD: usize = 1024;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// How far a reader got with this user's messages.
    Receipt(Receipt),
    /// How far this user has read, and the one device that did, if it was one.
    Read(ReadSync, Option<DeviceId>),
}

/// What a read of the bucket brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// In `rev` order.
    pub changes: Vec<Change>,
    /// Whether there was nothing beyond.
    pub end: bool,
    /// The last revision looked at.
    pub last: u64,
}

/// A user's changes, as far as this session has told them.
#[derive(Debug)]
pub(crate) struct ReceiptFeed {
    /// All up to this revision has been read from the bucket.
    read_up_to: u64,
    /// Told live since.
    told: BTreeSet<u64>,
    reading: bool,
    due: bool,
    parked: Vec<Change>,
    caught_up: bool,
}

impl Change {
    /// Its revision.
    pub(crate) fn rev(&self) -> u64 {
        match self {
            Self::Receipt(receipt) => receipt.rev,
            Self::Read(read, _) => read.rev,
        }
    }

    fn key(&self) -> (ChatId, Option<schemas::UserId>) {
        match self {
            Self::Receipt(receipt) => (receipt.chat, Some(receipt.user)),
            Self::Read(read, _) => (read.chat, None),
        }
    }
}

impl ReceiptFeed {
    /// A client that has stored everything up to `receipts_after`.
    pub(crate) fn new(receipts_after: u64) -> Self {
        Self {
            read_up_to: receipts_after,
            told: BTreeSet::new(),
            reading: false,
            due: true,
            parked: Vec::new(),
            caught_up: false,
        }
    }

    /// A live change; returned where it is to be told at once.
    pub(crate) fn live(&mut self, change: Change) -> Option<Change> {
        if !self.reading && self.caught_up {
            self.remember(change.rev());
            return Some(change);
        }
        self.parked.push(change);
        if self.parked.len() > PARKED {
            self.parked = Vec::new();
            self.due = true;
        }
        None
    }

    /// Live changes may have been lost: the bucket is read once more.
    pub(crate) fn look_again(&mut self) {
        self.due = true;
    }

    /// The revision after which to read now, if a read is due.
    pub(crate) fn next_read(&mut self) -> Option<u64> {
        if self.reading || !self.due {
            return None;
        }
        self.reading = true;
        self.due = false;
        Some(self.read_up_to)
    }

    /// The read came back; what is to be told.
    pub(crate) fn page(&mut self, page: Page) -> Vec<Change> {
        self.reading = false;
        let told = &self.told;
        let mut news: Vec<Change> =
            page.changes.into_iter().filter(|change| !told.contains(&change.rev())).collect();
        self.read_up_to = self.read_up_to.max(page.last);
        self.told = self.told.split_off(&self.read_up_to.saturating_add(1));
        if !page.end {
            self.due = true;
            return news;
        }
        self.caught_up = true;
        for change in std::mem::take(&mut self.parked) {
            // A parked one at or below was read, or has been superseded.
            if change.rev() > self.read_up_to && !self.told.contains(&change.rev()) {
                self.remember(change.rev());
                news.push(change);
            }
        }
        coalesce(news)
    }

    /// The read failed; it is due again.
    pub(crate) fn read_failed(&mut self) {
        self.reading = false;
        self.due = true;
    }

    /// Whether the first read has come to its end.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    fn remember(&mut self, rev: u64) {
        self.told.insert(rev);
        while self.told.len() > TOLD {
            let _ = self.told.pop_first();
        }
    }
}

/// Keeps the newest change of each key, in `rev` order.
pub(crate) fn coalesce(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by_key(|change| std::cmp::Reverse(change.rev()));
    let mut seen = BTreeSet::new();
    changes.retain(|change| seen.insert(change.key()));
    changes.reverse();
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::{Micros, UserId};

    use super::*;

    fn change(reader: u64, rev: u64) -> Change {
        let user = UserId::from_parts(reader, 0);
        let ts = Micros(rev as i64);
        Change::Receipt(Receipt {
            chat: ChatId::User(user),
            user,
            delivered: ts,
            read: Micros(0),
            rev,
        })
    }

    fn revs(changes: &[Change]) -> Vec<u64> {
        changes.iter().map(Change::rev).collect()
    }

    #[test]
    fn the_backlog_comes_before_what_is_live() {
        let mut feed = ReceiptFeed::new(3);
        assert_eq!(feed.next_read(), Some(3));
        assert_eq!(feed.live(change(1, 9)), None);
        assert_eq!(feed.live(change(2, 5)), None);
        let page = Page { changes: vec![change(2, 5), change(1, 7)], end: true, last: 7 };
        assert_eq!(revs(&feed.page(page)), [5, 9], "7 is superseded by 9");
        assert_eq!(feed.live(change(1, 10)).map(|change| change.rev()), Some(10));
        feed.look_again();
        assert_eq!(feed.next_read(), Some(7));
        let page = Page { changes: vec![change(3, 8), change(1, 10)], end: true, last: 10 };
        assert_eq!(revs(&feed.page(page)), [8], "10 was told");
        assert_eq!(feed.next_read(), None);
    }

    #[test]
    fn a_client_that_claims_to_have_all_is_told_what_is_new() {
        let mut feed = ReceiptFeed::new(u64::MAX);
        assert_eq!(feed.next_read(), Some(u64::MAX));
        assert!(feed.page(Page { changes: vec![], end: true, last: u64::MAX }).is_empty());
        assert_eq!(feed.live(change(1, 7)), Some(change(1, 7)));
    }

    proptest! {
        /// With changes lost (and said so) and reads at any time, the client ends
        /// with the newest revision of every key.
        #[test]
        fn ends_with_the_newest_of_every_key(
            steps in proptest::collection::vec((0u8..5, 1u64..5), 0..80),
        ) {
            let mut bucket = std::collections::BTreeMap::new();
            let mut known = std::collections::BTreeMap::new();
            let mut tell = |changes: Vec<Change>| {
                for change in changes {
                    let newest = known.entry(change.key()).or_insert(0);
                    *newest = change.rev().max(*newest);
                }
            };
            let mut feed = ReceiptFeed::new(0);
            let mut rev = 0;
            let read = |feed: &mut ReceiptFeed, bucket: &std::collections::BTreeMap<u64, u64>| {
                let Some(after) = feed.next_read() else { return vec![] };
                let mut changes: Vec<Change> = bucket
                    .iter()
                    .filter(|(_, rev)| **rev > after)
                    .map(|(reader, rev)| change(*reader, *rev))
                    .collect();
                changes.sort_by_key(Change::rev);
                let last = changes.last().map_or(after, Change::rev);
                feed.page(Page { changes, end: true, last })
            };
            for (action, reader) in steps {
                match action {
                    0 | 1 => {
                        rev += 1;
                        bucket.insert(reader, rev);
                        tell(feed.live(change(reader, rev)).into_iter().collect());
                    }
                    2 => {
                        rev += 1;
                        bucket.insert(reader, rev);
                        feed.look_again();
                    }
                    _ => tell(read(&mut feed, &bucket)),
                }
            }
            tell(read(&mut feed, &bucket));
            tell(read(&mut feed, &bucket));
            let expected: std::collections::BTreeMap<_, _> =
                bucket.iter().map(|(reader, rev)| (change(*reader, *rev).key(), *rev)).collect();
            prop_assert_eq!(known, expected);
        }
    }
}
