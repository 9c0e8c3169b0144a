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
