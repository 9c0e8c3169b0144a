//! Whether a sender's messages all came, once, in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
};

use serde::Serialize;

/// Most kinds of refusals that are told apart.
const KINDS: usize = 32;

/// What went wrong; all zero is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Faults {
    /// Sent and ticked, never received.
    pub(super) lost: u64,
    /// Received again.
    pub(super) doubled: u64,
    /// Received, ticked or ordered otherwise than sent.
    pub(super) out_of_order: u64,
    /// Received otherwise than written.
    pub(super) corrupt: u64,
    /// Never confirmed to their senders.
    pub(super) unticked: u64,
    /// Received, but the Delivered tick did not come, or ended elsewhere than
    /// at the last message.
    pub(super) undelivered: u64,
    /// Delivered, and still in an inbox long after.
    pub(super) undeleted: u64,
    /// Connections that ended before their time.
    pub(super) disconnected: u64,
    /// What the server refused, by code.
    pub(super) refused: BTreeMap<String, u64>,
}

impl Faults {
    /// Whether nothing went wrong.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a refusal.
    pub(super) fn refused(&mut self, code: &str) {
        if self.refused.contains_key(code) || self.refused.len() < KINDS {
            *self.refused.entry(code.to_owned()).or_default() += 1;
        }
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.corrupt += other.corrupt;
        self.unticked += other.unticked;
        self.undelivered += other.undelivered;
        self.undeleted += other.undeleted;
        self.disconnected += other.disconnected;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}

/// What a reader knows of one sender's messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Received {
    next: u32,
    missing: BTreeSet<u32>,
    last_ts: i64,
}

impl Received {
    /// Takes message `n` in; whether it is new.
    pub(super) fn take(&mut self, n: u32, ts: i64, faults: &mut Faults) -> bool {
        if n < self.next {
            if self.missing.remove(&n) {
                faults.out_of_order += 1;
                return true;
            }
            faults.doubled += 1;
            return false;
        }
        self.missing.extend(self.next..n);
        self.next = n + 1;
        // Messages of one sender are shown in the order of their `ts`.
        if ts <= self.last_ts {
            faults.out_of_order += 1;
        }
        self.last_ts = ts;
        true
    }

    /// How many have come.
    pub(super) fn count(&self) -> u32 {
        self.next - u32::try_from(self.missing.len()).unwrap_or(u32::MAX)
    }
}

/// What a sender knows of their own messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    /// How many were sent.
    pub(super) sent: u32,
    /// How many got the Sent tick.
    pub(super) ticked: u32,
    /// The `ts` of the last that did.
    pub(super) last_ts: i64,
    /// How far the Delivered tick is.
    pub(super) delivered: i64,
}

/// What is to be said of a sender and their reader when all is over.
pub(super) fn settle(sent: &Sent, received: &Received, faults: &mut Faults) {
    let lost = sent.sent.saturating_sub(received.count());
    let unticked = sent.sent - sent.ticked;
    // One that was never confirmed may be lost: that is what its sender is told.
    faults.lost += u64::from(lost.saturating_sub(unticked));
    faults.unticked += u64::from(unticked);
    if sent.ticked > 0 && sent.delivered != sent.last_ts {
        faults.undelivered += 1;
    }
    if lost == 0 && unticked == 0 && sent.last_ts != received.last_ts {
        faults.out_of_order += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(numbers: &[u32]) -> (Received, Faults) {
        let (mut received, mut faults) = (Received::default(), Faults::default());
        for (i, n) in numbers.iter().enumerate() {
            let ts = i64::try_from(i).unwrap_or_default() + 1;
            received.take(*n, ts, &mut faults);
        }
        (received, faults)
    }

    fn sent(n: u32) -> Sent {
        Sent { sent: n, ticked: n, last_ts: n.into(), delivered: n.into() }
    }

    #[test]
    fn all_in_order_is_well() {
        let (received, mut faults) = receive(&[0, 1, 2]);
        settle(&sent(3), &received, &mut faults);
        assert!(faults.is_none(), "{faults:?}");
    }

    #[test]
    fn what_never_came_is_lost() {
        let (received, mut faults) = receive(&[0, 2]);
        settle(&Sent { last_ts: 2, delivered: 2, ..sent(3) }, &received, &mut faults);
        assert_eq!(faults, Faults { lost: 1, ..Faults::default() });
        let (received, mut faults) = receive(&[0, 1]);
        settle(&sent(3), &received, &mut faults);
        assert_eq!(faults, Faults { lost: 1, ..Faults::default() });
    }

    #[test]
    fn what_came_again_is_doubled_and_what_came_late_is_out_of_order() {
        let (received, mut faults) = receive(&[0, 2, 1, 1, 3]);
        settle(&Sent { last_ts: 5, delivered: 5, ..sent(4) }, &received, &mut faults);
        assert_eq!(faults, Faults { doubled: 1, out_of_order: 1, ..Faults::default() });
    }

    #[test]
    fn a_ts_that_falls_back_is_out_of_order() {
        let (mut received, mut faults) = (Received::default(), Faults::default());
        received.take(0, 5, &mut faults);
        received.take(1, 5, &mut faults);
        assert_eq!(faults, Faults { out_of_order: 1, ..Faults::default() });
    }

    #[test]
    fn the_ticks_end_at_the_last_message() {
        let (received, mut faults) = receive(&[0, 1, 2]);
        settle(&Sent { delivered: 2, ..sent(3) }, &received, &mut faults);
        assert_eq!(faults, Faults { undelivered: 1, ..Faults::default() });
        let (received, mut faults) = receive(&[0, 1]);
        settle(&Sent { ticked: 2, last_ts: 2, delivered: 2, ..sent(3) }, &received, &mut faults);
        assert_eq!(faults, Faults { unticked: 1, ..Faults::default() });
    }
}
