//! A message's place in its chat: `ts = max(at, after + 1)` (PROTOCOL, promise 4).

use schemas::{
    Micros,
    limits::{AT_BEHIND, CLOCK_AHEAD},
};

/// The `ts` of a message.
///
/// `at` counts if it lies between 5 minutes before and 2 s after this gateway's
/// clock; else the clock stands in for it, and `last`, the newest `ts` of this
/// connection in the chat, keeps the chat rising. `after` is clamped to 2 s ahead.
pub(crate) fn place(
    at: Option<Micros>,
    after: Option<Micros>,
    last: Option<Micros>,
    now: Micros,
) -> Micros {
    let latest = now.plus(CLOCK_AHEAD);
    let counted = at.filter(|at| (now.minus(AT_BEHIND)..=latest).contains(at));
    let after = after.map(|after| after.min(latest).next());
    let last = if counted.is_some() { None } else { last.map(Micros::next) };
    [after, last].into_iter().flatten().fold(counted.unwrap_or(now), Micros::max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Micros = Micros(1_800_000_000_000_000);

    #[test]
    fn a_reply_sorts_after_what_it_replies_to() {
        let seen = NOW.plus(CLOCK_AHEAD);
        assert_eq!(place(Some(NOW), Some(seen), None, NOW), seen.next());
        assert_eq!(place(Some(NOW), Some(Micros(5)), None, NOW), NOW);
    }

    #[test]
    fn a_retry_gets_the_same_place_through_any_gateway() {
        let at = NOW.minus(AT_BEHIND);
        for clock in [NOW, NOW.minus(AT_BEHIND), at.minus(CLOCK_AHEAD)] {
            assert_eq!(place(Some(at), Some(Micros(7)), Some(NOW), clock), at);
        }
    }

    #[test]
    fn a_clock_that_is_off_is_replaced() {
        let late = NOW.minus(AT_BEHIND).minus(std::time::Duration::from_micros(1));
        let early = NOW.plus(CLOCK_AHEAD).next();
        for at in [None, Some(late), Some(early), Some(Micros(i64::MIN)), Some(Micros(i64::MAX))] {
            assert_eq!(place(at, None, None, NOW), NOW);
            assert_eq!(place(at, None, Some(NOW), NOW), NOW.next());
        }
    }

    proptest! {
        #[test]
        fn never_beyond_two_seconds_ahead(at: Option<i64>, after: Option<i64>) {
            let ts = place(at.map(Micros), after.map(Micros), None, NOW);
            prop_assert!(ts <= NOW.plus(CLOCK_AHEAD).next());
            prop_assert!(ts >= NOW.minus(AT_BEHIND));
        }
    }
}
