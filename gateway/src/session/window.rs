//! What a session was sent and has not acknowledged yet.

use std::collections::{BTreeMap, VecDeque};

use schemas::{ChatId, Micros, UserId, event::Mark, limits::WINDOW, stored::Head};

/// How many (chat, sender) pairs a session remembers the newest acknowledged
/// message of. Older ones are in the receipts bucket by then.
const REMEMBERED: usize = 256;
/// A drained queue with more room than this is given back.
const KEPT_CAPACITY: usize = 16;

/// The messages in flight to one session, at most [`WINDOW`].
#[derive(Debug, Default)]
pub(crate) struct Window {
    in_flight: VecDeque<InFlight>,
    acked: BTreeMap<(ChatId, UserId), Micros>,
}

#[derive(Debug)]
struct InFlight {
    seq: u64,
    /// Nothing for a message whose bytes could not be read.
    head: Option<Head>,
}

/// What one `ack` newly covers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Covered {
    /// The inbox positions, rising.
    pub seqs: Vec<u64>,
    /// The newest message of each sender in each chat; events are not counted.
    pub marks: Vec<Mark>,
}

impl Window {
    /// How many more messages may be sent now.
    pub(crate) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.in_flight.len())
    }

    /// A message was sent; positions rise.
    pub(crate) fn push(&mut self, seq: u64, head: Option<Head>) {
        debug_assert!(self.in_flight.back().is_none_or(|last| last.seq < seq));
        self.in_flight.push_back(InFlight { seq, head });
    }

    /// Takes what an `ack` up to `seq` covers, or nothing where it covers
    /// nothing new: one that goes back, or one again. Beyond what was sent it
    /// covers all that was.
    pub(crate) fn ack(&mut self, seq: u64) -> Option<Covered> {
        let count = self.in_flight.partition_point(|sent| sent.seq <= seq);
        if count == 0 {
            return None;
        }
        let mut seqs = Vec::with_capacity(count);
        let mut newest = BTreeMap::<(ChatId, UserId), Micros>::new();
        for sent in self.in_flight.drain(..count) {
            seqs.push(sent.seq);
            if let Some(head) = sent.head.filter(|head| !head.is_event) {
                let ts = newest.entry((head.chat, head.from)).or_default();
                *ts = head.ts.max(*ts);
            }
        }
        if self.in_flight.is_empty() && self.in_flight.capacity() > KEPT_CAPACITY {
            self.in_flight = VecDeque::new();
        }
        let marks = newest.iter().map(|(&(chat, from), &ts)| Mark { chat, from, ts }).collect();
        self.remember(newest);
        Some(Covered { seqs, marks })
    }

    /// The newest message of this sender in the chat that this session
    /// acknowledged, as far as it remembers.
    pub(crate) fn acked(&self, chat: ChatId, sender: UserId) -> Micros {
        self.acked.get(&(chat, sender)).copied().unwrap_or_default()
    }

    fn remember(&mut self, newest: BTreeMap<(ChatId, UserId), Micros>) {
        for (key, ts) in newest {
            let remembered = self.acked.entry(key).or_default();
            *remembered = ts.max(*remembered);
        }
        while self.acked.len() > REMEMBERED {
            let _ = self.acked.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head(from: UserId, ts: i64) -> Option<Head> {
        Some(Head { chat: ChatId::User(from), from, ts: Micros(ts), is_event: false })
    }

    #[test]
    fn an_ack_is_cumulative_and_clamped() {
        let bob = UserId::mint();
        let mut window = Window::default();
        for seq in [3, 5, 9] {
            window.push(seq, head(bob, 100 - seq as i64));
        }
        assert_eq!(window.ack(2), None);
        let covered = window.ack(5).unwrap();
        assert_eq!(covered.seqs, [3, 5]);
        assert_eq!(covered.marks, [Mark { chat: ChatId::User(bob), from: bob, ts: Micros(97) }]);
        assert_eq!(window.ack(5), None, "again");
        assert_eq!(window.ack(3), None, "going back");
        assert_eq!(window.ack(u64::MAX).unwrap().seqs, [9], "beyond what was sent");
        assert_eq!(window.ack(u64::MAX), None);
        assert_eq!(window.acked(ChatId::User(bob), bob), Micros(97));
        assert_eq!(window.room(), WINDOW);
    }

    #[test]
    fn events_and_unreadable_messages_move_no_watermark() {
        let bob = UserId::mint();
        let mut window = Window::default();
        window.push(1, head(bob, 10).map(|head| Head { is_event: true, ..head }));
        window.push(2, None);
        assert_eq!(window.ack(2).unwrap(), Covered { seqs: vec![1, 2], marks: vec![] });
    }

    #[test]
    fn remembers_a_bounded_number_of_senders() {
        let mut window = Window::default();
        for seq in 1..=(2 * REMEMBERED as u64) {
            window.push(seq, head(UserId::mint(), 1));
            window.ack(seq).unwrap();
        }
        assert_eq!(window.acked.len(), REMEMBERED);
    }
}
