//! What is remembered of the directory, while the directory is away.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use store::DirectoryError;
use tokio::time::{Instant, timeout};

/// How long somebody who remembers an answer waits for a newer one.
const PATIENCE: Duration = Duration::from_millis(500);
/// For how long nobody tries again then.
const PAUSE: Duration = Duration::from_secs(5);

/// Whether the directory has answered lately; clones share it.
///
/// What changes is told to all gateways and never waited for here. That
/// something is read again now and then is for what went unheard, and so the
/// old answer is good enough where there is no newer one to be had.
#[derive(Debug, Clone, Default)]
pub(crate) struct Absence {
    until: Arc<Mutex<Option<Instant>>>,
}

impl Absence {
    /// Reads what is remembered anew; nothing where the directory does not
    /// answer, or did not a moment ago.
    pub(crate) async fn reread<T>(
        &self,
        read: impl Future<Output = Result<T, DirectoryError>>,
    ) -> Option<T> {
        if self.lasts() {
            return None;
        }
        let why = match timeout(PATIENCE, read).await {
            Ok(Ok(read)) => return Some(read),
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        tracing::warn!(error = why, "directory away: what is remembered has to do");
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + PAUSE);
        None
    }

    fn lasts(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending, io};

    use super::*;

    fn unavailable() -> DirectoryError {
        DirectoryError::Unavailable(io::Error::other("away").into())
    }

    #[tokio::test(start_paused = true)]
    async fn one_waits_a_moment_and_then_nobody_for_a_while() {
        let absence = Absence::default();
        let asked = Cell::new(0);
        let reread = async |answer: Option<Result<u8, DirectoryError>>| {
            let read = async {
                asked.set(asked.get() + 1);
                match answer {
                    Some(answer) => answer,
                    None => pending().await,
                }
            };
            absence.reread(read).await
        };
        assert_eq!(reread(Some(Ok(1))).await, Some(1));
        for silence in [None, Some(Err(unavailable()))] {
            let begun = Instant::now();
            asked.set(0);
            assert_eq!(reread(silence).await, None);
            assert!(begun.elapsed() <= PATIENCE + Duration::from_millis(1));
            for _ in 0..100 {
                assert_eq!(reread(Some(Ok(1))).await, None);
            }
            assert_eq!(asked.get(), 1);
            tokio::time::sleep(PAUSE).await;
            assert_eq!(reread(Some(Ok(1))).await, Some(1));
        }
    }
}
