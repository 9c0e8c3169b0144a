//! Words that must be heard, and not a thousand times.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often the same is said.
const EVERY: Duration = Duration::from_secs(60);

/// Lets one through now and then.
#[derive(Debug, Default)]
pub(super) struct Loud(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    unsaid: u64,
}

impl Loud {
    /// Whether it is to be said now, and how often it was not since the last time.
    pub(super) fn say(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            said.unsaid += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_with_the_number_of_the_others() {
        let (loud, start) = (Loud::default(), Instant::now());
        assert_eq!(loud.say(start), Some(0));
        assert_eq!(loud.say(start), None);
        assert_eq!(loud.say(start + EVERY / 2), None);
        assert_eq!(loud.say(start + EVERY), Some(2));
        assert_eq!(loud.say(start + EVERY * 2), Some(0));
    }
}
