//! One removal per inbox at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::receipts::fold::InboxKey;

/// The inboxes that something is being removed from. A device that works off a
/// backlog acknowledges faster than one purge takes; the next must not find
/// the first's messages still there.
#[derive(Default)]
pub(super) struct Underway(Mutex<HashMap<InboxKey, Arc<AsyncMutex<()>>>>);

/// Holds its inbox until it is dropped.
pub(super) struct Alone<'a> {
    underway: &'a Underway,
    inbox: InboxKey,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Underway {
    pub(super) async fn wait_for(&self, inbox: InboxKey) -> Alone<'_> {
        let mine = Arc::clone(self.map().entry(inbox).or_default());
        let mut alone = Alone { underway: self, inbox, guard: None };
        alone.guard = Some(mine.lock_owned().await);
        alone
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<InboxKey, Arc<AsyncMutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let mut map = self.underway.map();
        // Dropped under the lock, so that nobody takes another handle between
        // this and the count.
        self.guard = None;
        if map.get(&self.inbox).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            map.remove(&self.inbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use schemas::{DeviceId, UserId};

    use super::*;

    #[tokio::test]
    async fn an_inbox_is_held_by_one_and_forgotten_after_the_last() {
        let inbox =
            |n| InboxKey { user: UserId::from_parts(n, 1), device: DeviceId::from_parts(n, 1) };
        let underway = Underway::default();
        let first = underway.wait_for(inbox(1)).await;
        let mut second = Box::pin(underway.wait_for(inbox(1)));
        let mut given_up = Box::pin(underway.wait_for(inbox(1)));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut given_up).now_or_never().is_none());
        let other = underway.wait_for(inbox(2)).now_or_never();
        assert!(other.is_some());

        drop(given_up);
        drop(first);
        let second = (&mut second).now_or_never();
        assert!(second.is_some());
        assert_eq!(underway.map().len(), 2);
        drop((second, other));
        assert_eq!(underway.map().len(), 0);
    }
}
