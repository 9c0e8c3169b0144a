//! What a device has one of, wherever it connects: a session, or a poll.

use std::time::Duration;

use schemas::Micros;

/// Takings that are no further apart are told apart by the gateways' clocks.
const SIMULTANEOUS: Duration = Duration::from_secs(5);

/// A device's one place, as whoever took it last sees it.
#[derive(Debug)]
pub(crate) struct Seat {
    id: String,
    taken: Micros,
}

impl Seat {
    /// A seat under a name that nobody else has, taken now.
    pub(crate) fn new(id: String, taken: Micros) -> Self {
        Self { id, taken }
    }

    /// Its name, and when it was taken, to be announced.
    pub(crate) fn announced(&self) -> (&str, Micros) {
        (&self.id, self.taken)
    }

    /// Whether another one of this device is the newer one. Each is announced
    /// once, when it is taken: heard well after ours, it is newer whatever the
    /// gateways' clocks say; within that time the announced time decides, and
    /// the ids where that is the same, so that exactly one of two stays.
    pub(crate) fn gives_way_to(&self, other: &str, taken: Micros, now: Micros) -> bool {
        other != self.id
            && (now > self.taken.plus(SIMULTANEOUS)
                || (taken, other) > (self.taken, self.id.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(1_800_000_000_000_000);

    fn seat(id: &str, taken: Micros) -> Seat {
        Seat::new(id.to_owned(), taken)
    }

    #[test]
    fn of_two_at_once_one_stays() {
        for (one, other) in [(NOW, NOW), (NOW, NOW.next()), (NOW.plus(SIMULTANEOUS), NOW)] {
            let goes = seat("a", one).gives_way_to("b", other, NOW);
            assert_ne!(goes, seat("b", other).gives_way_to("a", one, NOW), "{one:?} {other:?}");
        }
        assert!(!seat("a", NOW).gives_way_to("a", NOW.next(), NOW.plus(2 * SIMULTANEOUS)));
    }

    #[test]
    fn what_is_heard_late_is_newer_whatever_its_clock_says() {
        let late = NOW.plus(SIMULTANEOUS).next();
        assert!(seat("b", NOW).gives_way_to("a", NOW.minus(SIMULTANEOUS), late));
    }
}
