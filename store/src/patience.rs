//! How long one read or change of a document goes on trying.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use crate::error::{DirectoryError, Source};

/// The longest one read or change takes, of which most calls are one. A stream
/// that lost its leader is without one for about eight seconds; a call should
/// live through that.
const CALL: Duration = Duration::from_secs(12);
/// The longest one request waits: an answer that is lost, with the server that
/// died, must leave time to ask the next one.
const REQUEST: Duration = Duration::from_secs(3);
/// The first pause; it doubles from try to try.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause while others change the same document: each of their
/// turns takes a few milliseconds.
const CONTENDED_PAUSE: Duration = Duration::from_millis(64);
/// The longest pause while there is no answer.
const UNANSWERED_PAUSE: Duration = Duration::from_millis(512);

/// What one read or change has left, for all its requests together.
pub(crate) struct Patience {
    until: Instant,
    tries: u32,
}

/// Why a request has to be tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Somebody else changed the document first.
    #[error("others changed the document first")]
    Contended,
    /// Refused, or not answered: a write may still have been stored.
    #[error(transparent)]
    Unanswered(#[from] Source),
}

#[derive(Debug, thiserror::Error)]
#[error("no answer in time")]
struct TooLate;

impl Patience {
    pub(crate) fn new() -> Self {
        Self::within(CALL)
    }

    /// Patience for longer than one call.
    pub(crate) fn within(time: Duration) -> Self {
        Self { until: Instant::now() + time, tries: 0 }
    }

    /// Waits for one request's answer.
    pub(crate) async fn wait<T, E>(
        &self,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Source>
    where
        E: Into<Source>,
    {
        let until = self.until.min(Instant::now() + REQUEST);
        match tokio::time::timeout_at(until, request).await {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => Err(TooLate.into()),
        }
    }

    /// Asks until there is an answer, or patience is at its end. `trouble` says
    /// of what went wrong what to try again; an error where that would not help.
    pub(crate) async fn persist<T, E, F>(
        &mut self,
        ask: impl Fn() -> F,
        trouble: impl Fn(Source) -> Result<Trouble, DirectoryError>,
    ) -> Result<T, DirectoryError>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<Source>,
    {
        loop {
            match self.wait(ask()).await {
                Ok(answer) => return Ok(answer),
                Err(source) => self.pause(trouble(source)?).await?,
            }
        }
    }

    /// Pauses before the next try, for a random time so that those who collided
    /// do not collide again. Fails with the trouble when patience is at its end.
    pub(crate) async fn pause(&mut self, trouble: Trouble) -> Result<(), DirectoryError> {
        let longest = match trouble {
            Trouble::Contended => CONTENDED_PAUSE,
            Trouble::Unanswered(_) => UNANSWERED_PAUSE,
        };
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.tries.min(16));
        let pause = doubled.min(longest).mul_f64(rand::random_range(0.25..1.0));
        self.tries += 1;
        if Instant::now() + pause >= self.until {
            return Err(DirectoryError::Unavailable(trouble.into()));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{future::pending, io};

    use super::*;

    fn refused() -> Source {
        io::Error::other("refused").into()
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_in_time_and_hands_back_the_trouble() {
        let start = Instant::now();
        let mut patience = Patience::new();
        let mut tries = 0;
        let error = loop {
            tries += 1;
            match patience.pause(refused().into()).await {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(error, DirectoryError::Unavailable(_)), "{error:?}");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "refused");
        assert!(start.elapsed() <= CALL && start.elapsed() > CALL - UNANSWERED_PAUSE);
        // Some ten doublings, and then at least a quarter of the longest pause each.
        assert!((20..=110).contains(&tries), "{tries}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_waited_for_as_long_as_one_request_and_no_longer_than_the_call() {
        let patience = Patience::new();
        let start = Instant::now();
        for _ in 0..10 {
            let before = Instant::now();
            let answer = patience.wait(pending::<io::Result<()>>()).await;
            assert_eq!(answer.unwrap_err().to_string(), "no answer in time");
            assert!(before.elapsed() <= REQUEST);
        }
        assert_eq!(start.elapsed(), CALL);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_beaten_tries_again_soon() {
        let mut patience = Patience::new();
        for _ in 0..100 {
            let before = Instant::now();
            patience.pause(Trouble::Contended).await.unwrap();
            // The timer counts in whole milliseconds.
            assert!(before.elapsed() <= CONTENDED_PAUSE + Duration::from_millis(1));
        }
    }
}
