//! Order where there is no connection: what one device sends to one chat is
//! stored one after the other (PROTOCOL, promise 4).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use schemas::{ChatId, DeviceId, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::session::{Refusal, lanes::WAITING_SENDS};

type Lane = (DeviceId, ChatId);

/// Who is about to send what to where; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    lanes: Arc<Mutex<HashMap<Lane, Queue>>>,
}

#[derive(Debug)]
struct Queue {
    /// One permit, given in the order it was asked for.
    turn: Arc<Semaphore>,
    /// Who has it or waits for it; without any, there is no queue.
    length: usize,
}

/// A turn, until it is dropped. The fields are dropped in this order.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A place in a queue, left when it is dropped.
#[derive(Debug)]
struct Place {
    turns: Turns,
    lane: Lane,
}

impl Turns {
    /// Waits for the turn of this device in this chat.
    ///
    /// # Errors
    /// `rate_limited` when too many wait already.
    pub(super) async fn wait(&self, device: DeviceId, chat: ChatId) -> Result<Turn, Refusal> {
        let (turn, place) = self.queue_up((device, chat))?;
        let closed = |_| Refusal::new(ErrorCode::Unavailable, "this gateway is going away");
        let permit = turn.acquire_owned().await.map_err(closed)?;
        Ok(Turn { _permit: permit, _place: place })
    }

    fn queue_up(&self, lane: Lane) -> Result<(Arc<Semaphore>, Place), Refusal> {
        let mut lanes = self.lock();
        let queue = lanes
            .entry(lane)
            .or_insert_with(|| Queue { turn: Arc::new(Semaphore::new(1)), length: 0 });
        // One of them does not wait.
        if queue.length > WAITING_SENDS {
            let why = "too many sends to this chat wait: await their answers";
            return Err(Refusal {
                retry_after_ms: Some(1_000),
                ..Refusal::new(ErrorCode::RateLimited, why)
            });
        }
        queue.length += 1;
        Ok((Arc::clone(&queue.turn), Place { turns: self.clone(), lane }))
    }

    /// No code that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, Queue>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = self.turns.lock();
        if let Some(queue) = lanes.get_mut(&self.lane) {
            queue.length -= 1;
            if queue.length == 0 {
                lanes.remove(&self.lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::{FutureExt as _, future::BoxFuture};
    use schemas::UserId;

    use super::*;

    fn chat(number: u64) -> ChatId {
        ChatId::User(UserId::from_parts(number, 0))
    }

    fn device(number: u64) -> DeviceId {
        DeviceId::from_parts(number, 0)
    }

    fn wait(turns: &Turns, device: DeviceId) -> BoxFuture<'_, Result<Turn, Refusal>> {
        turns.wait(device, chat(1)).boxed()
    }

    #[test]
    fn one_after_the_other_and_each_device_and_chat_for_itself() {
        let turns = Turns::default();
        let first = wait(&turns, device(1)).now_or_never().unwrap().unwrap();
        let (mut second, mut third) = (wait(&turns, device(1)), wait(&turns, device(1)));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        assert!(wait(&turns, device(2)).now_or_never().is_some());
        assert!(turns.wait(device(1), chat(2)).now_or_never().is_some());
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "it is not its turn");
        let second = (&mut second).now_or_never().unwrap();
        drop(second);
        assert!((&mut third).now_or_never().is_some());
        drop(third);
        assert!(turns.lock().is_empty());
    }

    #[test]
    fn who_gives_up_waiting_holds_nobody_up() {
        let turns = Turns::default();
        let first = wait(&turns, device(1)).now_or_never().unwrap();
        let (mut second, mut third) = (wait(&turns, device(1)), wait(&turns, device(1)));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        drop(first);
        assert!((&mut third).now_or_never().is_some());
        drop(third);
        assert!(turns.lock().is_empty());
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let turns = Turns::default();
        let mut waiting: Vec<_> = (0..=WAITING_SENDS).map(|_| wait(&turns, device(1))).collect();
        let outcomes: Vec<_> = waiting.iter_mut().map(|one| one.now_or_never()).collect();
        assert!(outcomes[0].as_ref().is_some_and(Result::is_ok));
        assert!(outcomes[1..].iter().all(Option::is_none));
        let refused = wait(&turns, device(1)).now_or_never().unwrap().unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        drop((outcomes, waiting));
        assert!(turns.lock().is_empty());
    }
}
