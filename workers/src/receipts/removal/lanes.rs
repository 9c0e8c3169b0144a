//! The bound on what the workers ask of JetStream's API, per shard and in all.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nats::subject::{Shard, Shards};
use tokio::{sync::Semaphore, time::Instant};
use tracing::warn;

use crate::receipts::stores::Unavailable;

/// How long a shard that failed is not asked again. Without a pause, a shard
/// that lost its leader would have every batch wait for its own timeout.
const PAUSE: Duration = Duration::from_secs(1);
/// The part of all requests in flight that one shard may take, so that one
/// that does not answer leaves room for the others.
const SHARE: usize = 4;

/// The ways to all shards.
pub(super) struct Lanes {
    in_flight: Semaphore,
    lanes: Vec<Lane>,
}

/// The way to one shard.
struct Lane {
    slots: Semaphore,
    closed_until: Mutex<Option<Instant>>,
}

impl Lanes {
    pub(super) fn new(shards: Shards, in_flight: usize) -> Self {
        let in_flight = in_flight.max(1);
        let lane = |_| Lane {
            slots: Semaphore::new((in_flight / SHARE).max(1)),
            closed_until: Mutex::new(None),
        };
        Self { in_flight: Semaphore::new(in_flight), lanes: shards.all().map(lane).collect() }
    }

    /// Does one request to a shard when its turn comes; fails at once while
    /// the shard is closed.
    pub(super) async fn take<T>(
        &self,
        shard: Shard,
        request: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        let lane = &self.lanes[shard as usize];
        // Neither semaphore is ever closed.
        let _slot = lane.slots.acquire().await;
        if lane.is_closed() {
            return Err(Unavailable::new("the shard failed a moment ago"));
        }
        let _permit = self.in_flight.acquire().await;
        let outcome = request.await;
        if let Err(error) = &outcome {
            lane.close(shard, error);
        }
        outcome
    }
}

impl Lane {
    fn is_closed(&self) -> bool {
        let closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        closed_until.is_some_and(|until| Instant::now() < until)
    }

    fn close(&self, shard: Shard, error: &Unavailable) {
        let mut closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if closed_until.is_none_or(|until| until <= now) {
            warn!(shard, %error, "messages cannot be deleted, their events come again");
            *closed_until = Some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::{FutureExt as _, future::join_all};

    use super::*;

    fn failed() -> Result<(), Unavailable> {
        Err(Unavailable::new("no leader"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_failed_is_left_alone_for_a_while() {
        let lanes = Lanes::new(Shards::DEFAULT, 8);
        assert!(lanes.take(1, ready(failed())).await.is_err());
        let asked = lanes.take::<()>(1, async { panic!("it was asked") });
        assert!(asked.await.is_err());
        assert!(lanes.take(2, ready(Ok(()))).await.is_ok());
        tokio::time::advance(PAUSE).await;
        assert!(lanes.take(1, ready(Ok(()))).await.is_ok());
    }

    #[tokio::test]
    async fn a_shard_that_does_not_answer_leaves_room_for_the_others() {
        let lanes = Lanes::new(Shards::DEFAULT, 8);
        let mut silent = join_all((0..100).map(|_| lanes.take(1, pending::<Result<(), _>>())));
        assert!((&mut silent).now_or_never().is_none());
        assert_eq!(lanes.in_flight.available_permits(), 8 - 8 / SHARE);
        for _ in 0..100 {
            assert!(lanes.take(2, ready(Ok(()))).await.is_ok());
        }
    }

    #[tokio::test]
    async fn all_shards_together_keep_to_the_bound() {
        let lanes = Lanes::new(Shards::DEFAULT, 8);
        let all = (0..100).map(|n| n % Shards::DEFAULT.count());
        let mut waiting = join_all(all.map(|shard| lanes.take(shard, pending::<Result<(), _>>())));
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(lanes.in_flight.available_permits(), 0);
        drop(waiting);
        assert_eq!(lanes.in_flight.available_permits(), 8);
    }
}
