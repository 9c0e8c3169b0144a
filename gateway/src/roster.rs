//! What sending needs to know of users, cached: their devices, blocks and settings.
//!
//! The gateway that changes one of these publishes `changed.<user>`, and every
//! gateway lets go of its entry. Core NATS may lose that only together with the
//! connection, and then everything is let go. Before the change is answered, all
//! gateways are asked whether they have (`group/barrier.rs`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::future::Cache;
use schemas::{DeviceId, UserId, http::Settings};
use store::{Directory, DirectoryError, Family, User};
use tokio::time::Instant;

use crate::absence::Absence;

/// Most users remembered.
const USERS: u64 = 100_000;
/// After so long an entry is read again, should anything ever go unheard.
const LIFE: Duration = Duration::from_secs(5 * 60);
/// For how long after a change the directory is asked for its newest state,
/// since a replica may lag.
const UNSETTLED: Duration = Duration::from_millis(700);
/// Most changes within that time that are kept apart.
const UNSETTLED_USERS: u64 = 100_000;

/// The cache; clones share it.
#[derive(Clone)]
pub(crate) struct Roster {
    directory: Arc<dyn Directory>,
    absence: Absence,
    entries: Cache<UserId, Known>,
    unsettled: Cache<UserId, ()>,
    /// Rises with every change: what was read across one is not kept.
    changes: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
struct Known {
    entry: Arc<Entry>,
    until: Instant,
}

/// What is known of a user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Linked devices with the family of their tokens.
    pub devices: Box<[(DeviceId, Family)]>,
    /// Whom the user has blocked, sorted.
    blocked: Box<[UserId]>,
    /// The user's choices.
    pub settings: Settings,
}

impl Entry {
    fn new(user: User) -> Self {
        let mut blocked = user.blocked;
        blocked.sort_unstable();
        Self {
            devices: user.devices.iter().map(|device| (device.id, device.tokens.family)).collect(),
            blocked: blocked.into(),
            settings: user.settings,
        }
    }

    /// Somebody without devices.
    #[cfg(test)]
    pub(crate) fn for_tests(blocked: &[UserId], settings: Settings) -> Self {
        Self { devices: Box::default(), blocked: blocked.into(), settings }
    }

    /// Whether this user has blocked that one.
    pub(crate) fn has_blocked(&self, other: UserId) -> bool {
        self.blocked.binary_search(&other).is_ok()
    }

    /// Whether tokens of this family are good for the device.
    pub(crate) fn accepts(&self, device: DeviceId, family: Family) -> bool {
        self.devices.contains(&(device, family))
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster").field("entries", &self.entries.entry_count()).finish()
    }
}

impl Roster {
    /// A cache in front of the directory.
    pub(crate) fn new(directory: Arc<dyn Directory>, absence: Absence) -> Self {
        Self {
            directory,
            absence,
            entries: Cache::builder().max_capacity(USERS).build(),
            unsettled: Cache::builder()
                .max_capacity(UNSETTLED_USERS)
                .time_to_live(UNSETTLED)
                .build(),
            changes: Arc::default(),
        }
    }

    /// What is known of a user; nothing where there is no such user. It may be
    /// old while the directory is away.
    ///
    /// # Errors
    /// When it is not cached and the directory does not answer.
    pub(crate) async fn get(&self, user: UserId) -> Result<Option<Arc<Entry>>, DirectoryError> {
        let is_unsettled = self.unsettled.contains_key(&user);
        let Some(known) = self.entries.get(&user).await else {
            return self.load(user, is_unsettled).await;
        };
        if Instant::now() < known.until {
            return Ok(Some(known.entry));
        }
        let read = self.absence.reread(self.load(user, is_unsettled)).await;
        Ok(read.unwrap_or(Some(known.entry)))
    }

    /// The newest state, from the directory: for those who would refuse
    /// something on the word of the cache.
    ///
    /// # Errors
    /// When the directory does not answer.
    pub(crate) async fn fresh(&self, user: UserId) -> Result<Option<Arc<Entry>>, DirectoryError> {
        self.load(user, true).await
    }

    /// Rises with every change: what was read before one may be outdated.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Lets go of a user whose devices, blocks or settings changed.
    pub(crate) fn forget(&self, user: UserId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        // Both are futures only because of eviction listeners, which these
        // caches do not have: they are done at the first poll.
        let (entries, unsettled) = (self.entries.clone(), self.unsettled.clone());
        let forget = async move {
            unsettled.insert(user, ()).await;
            entries.invalidate(&user).await;
        };
        if futures_util::FutureExt::now_or_never(forget).is_none() {
            tracing::warn!(%user, "a change was not taken in: letting go of all");
            self.forget_all();
        }
    }

    /// Lets go of everything: changes may have gone unheard.
    pub(crate) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.entries.invalidate_all();
    }

    async fn load(&self, user: UserId, newest: bool) -> Result<Option<Arc<Entry>>, DirectoryError> {
        let changes = self.changes();
        let record = if newest {
            self.directory.user_fresh(user).await?
        } else {
            self.directory.user(user).await?
        };
        let Some(record) = record else { return Ok(None) };
        let entry = Arc::new(Entry::new(record));
        if changes == self.changes() {
            let known = Known { entry: Arc::clone(&entry), until: Instant::now() + LIFE };
            self.entries.insert(user, known).await;
        }
        Ok(Some(entry))
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
