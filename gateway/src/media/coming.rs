//! A body as it comes in, from a sender who has to keep up a little.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use schemas::ErrorCode;
use tokio::time::{Instant, timeout};

use crate::{http::extract::linger, session::Refusal};

/// How long nothing may come: then the sender is taken for gone, and another
/// one may go on.
const SILENCE: Duration = Duration::from_secs(20);
/// How many bytes have to come in a second, on the average since the beginning;
/// whoever is slower goes on in another request.
const LEAST_PER_SECOND: u64 = 4 * 1024;
/// How long that is not looked at.
const HEAD_START: Duration = Duration::from_secs(60);

/// The body.
pub(super) struct Coming {
    bytes: BodyDataStream,
    began: Instant,
    /// How many bytes have come.
    count: u64,
}

impl Coming {
    /// It begins to come.
    pub(super) fn new(body: Body) -> Self {
        Self { bytes: body.into_data_stream(), began: Instant::now(), count: 0 }
    }

    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// `bad_frame` when it is cut off, stops or is too slow.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let cut = |why: String| Refusal::new(ErrorCode::BadFrame, why);
        let earned = Duration::from_secs(self.count / LEAST_PER_SECOND);
        let left = (HEAD_START + earned).saturating_sub(self.began.elapsed());
        match timeout(SILENCE.min(left), self.bytes.next()).await {
            Ok(Some(Ok(bytes))) => {
                self.count += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Ok(Some(Err(error))) => Err(cut(error.to_string())),
            Ok(None) => Ok(None),
            Err(_) if left <= SILENCE => Err(cut("the body comes too slowly".to_owned())),
            Err(_) => Err(cut("the body stopped coming".to_owned())),
        }
    }

    /// How many bytes have come.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Hears out a little who is refused.
    pub(super) async fn linger(&mut self) {
        linger(&mut self.bytes).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    /// A body of which so many bytes come after every so many seconds, for ever.
    fn dripping(count: usize, seconds: u64) -> Coming {
        let drips = stream::unfold((), move |()| async move {
            sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from(vec![0; count])), ()))
        });
        Coming::new(Body::from_stream(drips))
    }

    /// Why it ends, if it does within an hour.
    async fn end(mut coming: Coming) -> Option<String> {
        while coming.began.elapsed() < Duration::from_secs(3_600) {
            match coming.next().await {
                Ok(bytes) => assert!(bytes.is_some()),
                Err(refusal) => return Some(refusal.message),
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn who_drips_is_cut_off_and_who_is_slow_is_not() {
        assert_eq!(end(dripping(1, 1)).await.unwrap(), "the body comes too slowly");
        assert_eq!(end(dripping(1_000_000, 30)).await.unwrap(), "the body stopped coming");
        assert_eq!(end(dripping(100_000, 19)).await, None);
    }
}
