//! When events are asked for, and how many: pure.

use std::time::Duration;

use tokio::time::Instant;

/// When a worker asks for events.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asking {
    /// For so many at a time, and for the next when half of them have come, so
    /// that some lie ready when a batch is finished. They may come before there
    /// is room for them: as many as are handled well within `ack_wait`.
    Ahead(usize),
    /// For so many of those that are there, and when none are left, only after a
    /// rest. What vanishes from the stream meanwhile never comes, and the others
    /// come together. The first one after a while without any comes at once.
    Resting(usize, Duration),
}

/// What was asked for, and did not come yet.
#[derive(Debug)]
pub(super) struct Demand {
    asking: Asking,
    outstanding: usize,
    rests_until: Option<Instant>,
}

impl Demand {
    pub(super) fn new(asking: Asking) -> Self {
        Self { asking, outstanding: 0, rests_until: None }
    }

    /// Events of one request.
    pub(super) fn at_once(&self) -> usize {
        let (Asking::Ahead(events) | Asking::Resting(events, _)) = self.asking;
        events
    }

    /// Whether a request is answered with what there is, and is over then.
    pub(super) fn takes_what_is_there(&self) -> bool {
        matches!(self.asking, Asking::Resting(..))
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether more is to be asked for.
    pub(super) fn is_low(&self) -> bool {
        let enough = match self.asking {
            Asking::Ahead(events) => events / 2,
            Asking::Resting(..) => 0,
        };
        self.outstanding <= enough
    }

    /// Until when nothing is asked for.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }

    pub(super) fn asked(&mut self) {
        self.outstanding += self.at_once();
        self.rests_until = None;
    }

    /// An event came.
    pub(super) fn came(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// A request ended before so many of its events came; all of them unless the
    /// server says how many.
    pub(super) fn ended(&mut self, unserved: Option<usize>, now: Instant) {
        let unserved = unserved.unwrap_or(self.at_once());
        self.outstanding = self.outstanding.saturating_sub(unserved);
        if let Asking::Resting(_, rest) = self.asking {
            // There is one request at a time.
            self.outstanding = 0;
            self.rests_until = Some(now + rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: Duration = Duration::from_millis(250);

    #[test]
    fn who_asks_ahead_asks_again_when_half_has_come() {
        let mut demand = Demand::new(Asking::Ahead(4));
        assert!(demand.is_low());
        demand.asked();
        demand.came();
        assert!(!demand.is_low());
        demand.came();
        assert!(demand.is_low());
        demand.asked();
        assert_eq!(demand.outstanding(), 6);
        // The first request ended with its two, the second whole.
        demand.ended(Some(2), Instant::now());
        demand.ended(None, Instant::now());
        assert_eq!((demand.outstanding(), demand.rests_until()), (0, None));
    }

    proptest! {
        #[test]
        fn who_rests_asks_at_once_while_there_is_more_and_else_later(
            served in prop::collection::vec(0..=4_usize, 1..20),
            counted in any::<bool>(),
        ) {
            let mut demand = Demand::new(Asking::Resting(4, REST));
            let now = Instant::now();
            for served in served {
                prop_assert!(demand.is_low());
                demand.asked();
                prop_assert_eq!(demand.rests_until(), None);
                for _ in 0..served {
                    prop_assert!(!demand.is_low());
                    demand.came();
                }
                if served < 4 {
                    demand.ended(counted.then_some(4 - served), now);
                    prop_assert_eq!(demand.rests_until(), Some(now + REST));
                } else {
                    prop_assert_eq!(demand.rests_until(), None);
                }
                prop_assert_eq!(demand.outstanding(), 0);
            }
        }
    }
}
