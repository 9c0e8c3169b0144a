//! The server's time, as a client can know it.

use std::time::{Duration, Instant};

use schemas::{Micros, Millis};

/// An estimate of the server's clock from the `now` of its answers.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    reference: Option<Reference>,
}

#[derive(Debug)]
struct Reference {
    local: Instant,
    server: Micros,
    /// How far off it may be: half of the answer's way.
    uncertainty: Duration,
}

/// A sample this old gives way to a newer one, however good it was: clocks drift.
const SAMPLE_AGE: Duration = Duration::from_secs(10 * 60);

impl ServerClock {
    /// Learns from a question asked at `asked` whose answer came at `answered`:
    /// the server read its clock in between. The shortest way tells best.
    pub(super) fn sample(&mut self, asked: Instant, answered: Instant, now: Millis) {
        let uncertainty = answered.saturating_duration_since(asked) / 2;
        let worse = self.reference.as_ref().is_some_and(|known| {
            known.uncertainty < uncertainty
                && answered.saturating_duration_since(known.local) < SAMPLE_AGE
        });
        if !worse {
            // The server cut its clock to milliseconds: the middle of it is nearest.
            let server = Micros(now.0.saturating_mul(1000).saturating_add(500));
            let server = server.plus(uncertainty);
            self.reference = Some(Reference { local: answered, server, uncertainty });
        }
    }

    /// The server's time now; unknown before the first welcome.
    pub(super) fn at(&self, now: Instant) -> Option<Micros> {
        let known = self.reference.as_ref()?;
        Some(match now.checked_duration_since(known.local) {
            Some(later) => known.server.plus(later),
            None => known.server.minus(known.local - now),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_tells_best_until_it_is_old() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut clock = ServerClock::default();
        assert_eq!(clock.at(start), None);
        clock.sample(start, after(10), Millis(1_000));
        assert_eq!(clock.at(after(10)), Some(Micros(1_005_500)));
        clock.sample(after(20), after(220), Millis(9_000));
        assert_eq!(clock.at(after(220)), Some(Micros(1_215_500)), "a slow answer changes nothing");
        let late = after(11 * 60 * 1000);
        clock.sample(late, late + Duration::from_millis(200), Millis(5_000_000));
        assert_eq!(clock.at(late + Duration::from_millis(200)), Some(Micros(5_000_100_500)));
    }
}
