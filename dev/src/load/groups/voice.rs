//! What somebody who talks in a group knows of their messages there. Pure.

use std::collections::VecDeque;

use crate::load::check::{self, Faults, Received, Sent};

/// One member's part in the talk of one group.
#[derive(Debug)]
pub(super) struct Voice {
    sent: u32,
    /// When each was due, of those that somebody quick has not got yet.
    due_us: VecDeque<u64>,
    /// The `ts` of each that has its Sent tick.
    ticked: Vec<i64>,
    /// How far each member is, this one's own place included.
    reached: Vec<Reached>,
    me: usize,
    quick: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    delivered: i64,
    /// Of those that are ticked.
    messages: usize,
}

/// What came of a Sent tick.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticked {
    /// When the message was due.
    pub(super) due_us: u64,
    /// How many members had got it before.
    pub(super) deliveries: u64,
}

impl Voice {
    /// Member `me` of so many, of whom the first `quick` are waited for.
    pub(super) fn new(me: usize, members: usize, quick: usize) -> Self {
        Self {
            sent: 0,
            due_us: VecDeque::new(),
            ticked: Vec::new(),
            reached: vec![Reached::default(); members],
            me,
            quick,
        }
    }

    /// How many were sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// How many of them somebody quick has not got yet.
    pub(super) fn under_way(&self) -> usize {
        self.due_us.len()
    }

    /// One more is sent; its number.
    pub(super) fn send(&mut self, due_us: u64) -> u32 {
        self.due_us.push_back(due_us);
        self.sent += 1;
        self.sent - 1
    }

    /// The Sent tick of message `n`.
    pub(super) fn tick(&mut self, n: u32, ts: i64, faults: &mut Faults) -> Option<Ticked> {
        // Ticks of one chat come in the order of the messages.
        if n as usize != self.ticked.len() || n >= self.sent {
            let again = (n as usize) < self.ticked.len();
            *(if again { &mut faults.doubled } else { &mut faults.out_of_order }) += 1;
            return None;
        }
        if self.ticked.last().is_some_and(|last| ts <= *last) {
            faults.out_of_order += 1;
        }
        let over = self.sent as usize - self.due_us.len();
        let due_us = self.due_us[self.ticked.len() - over];
        self.ticked.push(ts);
        // A receipt may have been quicker.
        let mut deliveries = 0;
        for (member, reached) in self.reached.iter_mut().enumerate() {
            if member != self.me && reached.delivered >= ts {
                reached.messages += 1;
                deliveries += 1;
            }
        }
        Some(Ticked { due_us, deliveries })
    }

    /// Where a member is now; how many more messages that are ticked it has got.
    pub(super) fn receipt(&mut self, member: usize, delivered: i64, faults: &mut Faults) -> u64 {
        let Some(reached) = self.reached.get_mut(member) else { return 0 };
        if delivered < reached.delivered {
            faults.out_of_order += 1;
            return 0;
        }
        reached.delivered = delivered;
        let later = &self.ticked[reached.messages..];
        let more = later.partition_point(|ts| *ts <= delivered);
        reached.messages += more;
        more as u64
    }

    /// Lets go of the messages that all quick members have; when they were due.
    pub(super) fn pass(&mut self) -> Vec<u64> {
        let quick = self.reached.iter().take(self.quick).enumerate();
        let others = quick.filter(|(member, _)| *member != self.me);
        let all = others.map(|(_, reached)| reached.messages).min().unwrap_or(self.ticked.len());
        let over = self.sent as usize - self.due_us.len();
        self.due_us.drain(..all.saturating_sub(over)).collect()
    }

    /// What is to be said of it when all is over, given what a member received.
    pub(super) fn settle(&self, member: usize, received: &Received, faults: &mut Faults) {
        let sent = Sent {
            sent: self.sent,
            ticked: u32::try_from(self.ticked.len()).unwrap_or(u32::MAX),
            last_ts: self.ticked.last().copied().unwrap_or_default(),
            delivered: self.reached.get(member).map(|it| it.delivered).unwrap_or_default(),
        };
        check::settle(&sent, received, faults);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Member 0 of four, the last of them slow, who has sent messages due at
    /// 100, 200, …
    fn voice(messages: u64) -> (Voice, Faults) {
        let mut voice = Voice::new(0, 4, 3);
        for n in 0..messages {
            assert_eq!(u64::from(voice.send((n + 1) * 100)), n);
        }
        (voice, Faults::default())
    }

    #[test]
    fn a_message_is_over_when_all_quick_members_have_it() {
        let (mut voice, mut faults) = voice(2);
        let ticked = voice.tick(0, 10, &mut faults);
        assert_eq!(ticked, Some(Ticked { due_us: 100, deliveries: 0 }));
        voice.tick(1, 20, &mut faults).unwrap();
        assert_eq!(voice.receipt(1, 20, &mut faults), 2);
        assert_eq!(voice.pass(), [0; 0]);
        assert_eq!(voice.receipt(2, 15, &mut faults), 1);
        assert_eq!((voice.pass(), voice.under_way()), (vec![100], 1));
        assert_eq!(voice.receipt(2, 20, &mut faults), 1);
        assert_eq!((voice.pass(), voice.under_way()), (vec![200], 0));
        assert_eq!(voice.receipt(3, 20, &mut faults), 2, "the slow one counts, too");
        assert_eq!(voice.receipt(3, 20, &mut faults), 0, "once");
        assert!(faults.is_none(), "{faults:?}");
    }

    #[test]
    fn a_receipt_may_overtake_the_tick() {
        let (mut voice, mut faults) = voice(1);
        for member in [1, 2] {
            assert_eq!(voice.receipt(member, 10, &mut faults), 0);
        }
        let ticked = voice.tick(0, 10, &mut faults);
        assert_eq!(ticked, Some(Ticked { due_us: 100, deliveries: 2 }));
        assert_eq!(voice.pass(), [100]);
        assert!(faults.is_none(), "{faults:?}");
    }

    #[test]
    fn ticks_come_once_in_order_and_receipts_never_go_back() {
        let (mut voice, mut faults) = voice(3);
        voice.tick(1, 10, &mut faults);
        voice.tick(0, 10, &mut faults);
        voice.tick(0, 10, &mut faults);
        voice.tick(1, 10, &mut faults);
        voice.tick(3, 40, &mut faults);
        assert_eq!((faults.doubled, faults.out_of_order), (1, 3));
        voice.receipt(1, 10, &mut faults);
        voice.receipt(1, 5, &mut faults);
        assert_eq!(faults.out_of_order, 4);
    }

    #[test]
    fn a_receipt_that_never_came_is_found_in_the_end() {
        let (mut voice, mut faults) = voice(1);
        voice.tick(0, 10, &mut faults).unwrap();
        voice.receipt(1, 10, &mut faults);
        let mut received = Received::default();
        received.take(0, 10, &mut faults);
        voice.settle(1, &received, &mut faults);
        assert!(faults.is_none(), "{faults:?}");
        voice.settle(2, &received, &mut faults);
        voice.settle(1, &Received::default(), &mut faults);
        assert_eq!((faults.undelivered, faults.lost), (1, 1));
    }
}
