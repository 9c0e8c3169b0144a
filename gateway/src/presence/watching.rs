//! Whose presence the sessions of this gateway follow.
//!
//! There is one subscription for each watched user, however many watch them.
//! What a viewer was told last is remembered: they are told again only when
//! that changes, so that somebody who is blocked, and sees "offline", does not
//! see either that there was anything to hide.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use nats::{
    PresenceKv,
    direct::PAGE_ITEMS,
    mux::{Mux, Subscription},
    presence::Present,
    subject,
};
use schemas::{ErrorCode, UserId, event::PresenceRecord, server::Presence};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{following::Following, view::view};
use crate::{
    inlet::Inlet,
    mailbox::Mailbox,
    roster::{Entry, Roster},
    session::Refusal,
};

/// Users looked up at a time.
const AT_ONCE: usize = 32;
/// The pause after a look that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Who is watched; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Watching {
    pub(super) hub: Arc<Hub>,
}

#[derive(Debug)]
pub(super) struct Hub {
    bucket: PresenceKv,
    pub(super) roster: Roster,
    pub(super) mux: Mux<Inlet>,
    tasks: TaskTracker,
    stop: CancellationToken,
    // Never held while the multiplexer is called, which calls in here.
    pub(super) watched: Mutex<HashMap<UserId, Watched>>,
}

/// Somebody who is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) subscription: Subscription<Inlet>,
    /// The newest that was heard or read; nothing until it was read.
    pub(super) known: Option<Known>,
    pub(super) viewers: Vec<Viewer>,
    telling: Telling,
}

/// A revision, and what it says; revision 0: the user was never online.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    revision: u64,
    record: Option<PresenceRecord>,
}

#[derive(Debug)]
pub(super) struct Viewer {
    user: UserId,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) told: Option<Presence>,
    /// Until their `watch` is, which is with the newest there is by then.
    pub(super) is_answered: bool,
}

/// Viewers are told by one task at a time, so that the newest is told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Idle,
    Busy,
    /// There is something newer to tell.
    Again,
}

/// Presence cannot be told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("presence cannot be read now")]
pub(crate) struct WatchError;

impl Watching {
    /// Nobody is watched yet.
    pub(crate) fn new(
        bucket: PresenceKv,
        roster: Roster,
        mux: Mux<Inlet>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let watched = Mutex::default();
        Self { hub: Arc::new(Hub { bucket, roster, mux, tasks, stop, watched }) }
    }

    /// What a viewer may know of these users now, in this order.
    ///
    /// # Errors
    /// When NATS or the directory does not answer.
    pub(crate) async fn look(
        &self,
        viewer: UserId,
        users: &[UserId],
    ) -> Result<Vec<Presence>, WatchError> {
        let (present, entries) = tokio::join!(self.read(users), self.entries(users));
        let present: HashMap<_, _> = present?.into_iter().map(|one| (one.user, one)).collect();
        let looks = users.iter().zip(entries?).map(|(&user, entry)| {
            let record = present.get(&user).map(|present| &present.record);
            view(user, record, entry.as_deref(), viewer)
        });
        Ok(looks.collect())
    }

    /// A session that follows nobody yet.
    pub(crate) fn follow(&self, viewer: UserId, mailbox: &Arc<Mailbox>) -> Following {
        Following::new(self, viewer, mailbox)
    }

    /// A user's presence changed.
    pub(crate) fn heard(&self, user: UserId, revision: u64, record: PresenceRecord) {
        self.learn(user, Known { revision, record: Some(record) });
    }

    /// A user's blocks or settings changed: others may know more of them, or less.
    pub(crate) fn changed(&self, user: UserId) {
        if let Some(watched) = lock(&self.hub.watched).get_mut(&user) {
            self.tell_soon(user, watched);
        }
    }

    /// Changes may have gone unheard.
    pub(crate) fn gap(&self, user: UserId) {
        let watching = self.clone();
        self.spawn(async move {
            watching.read_again(&[user]).await;
            watching.changed(user);
        });
    }

    fn learn(&self, user: UserId, news: Known) {
        let mut watched = lock(&self.hub.watched);
        let Some(watched) = watched.get_mut(&user) else { return };
        if watched.known.is_none_or(|known| known.revision < news.revision) {
            watched.known = Some(news);
            self.tell_soon(user, watched);
        }
    }

    pub(super) fn tell_soon(&self, user: UserId, watched: &mut Watched) {
        if mem::replace(&mut watched.telling, Telling::Again) == Telling::Idle {
            let watching = self.clone();
            self.spawn(async move { watching.tell(user).await });
        }
    }

    /// Tells everybody who watches the user, until there is nothing newer.
    async fn tell(&self, user: UserId) {
        while self.is_to_be_told(user) {
            let entry = match self.hub.roster.get(user).await {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::warn!(%user, %error, "presence is told later");
                    sleep(RETRY).await;
                    self.changed(user);
                    continue;
                }
            };
            if let Some(watched) = lock(&self.hub.watched).get_mut(&user) {
                watched.tell(user, entry.as_deref());
            }
        }
    }

    /// Takes up what is to be told, or ends the telling.
    fn is_to_be_told(&self, user: UserId) -> bool {
        let mut watched = lock(&self.hub.watched);
        let Some(watched) = watched.get_mut(&user) else { return false };
        let again = watched.telling == Telling::Again;
        watched.telling = if again { Telling::Busy } else { Telling::Idle };
        again
    }

    pub(super) fn subscribe(&self, user: UserId) -> Subscription<Inlet> {
        let inlet = Inlet::Presence(user, self.clone());
        self.hub.mux.subscribe(&subject::presence(user), inlet)
    }

    /// Does something in the background, until the gateway stops.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.hub.tasks.spawn(self.hub.stop.clone().run_until_cancelled_owned(work));
    }

    /// Reads the presence of users of whom nobody has been told yet; whoever
    /// watches them is about to read it, too.
    pub(super) async fn read_first(&self, users: &[UserId]) -> Result<(), WatchError> {
        let present = self.read(users).await?;
        let mut watched = lock(&self.hub.watched);
        let nothing = users.iter().map(|&user| (user, Known { revision: 0, record: None }));
        let known = present.into_iter().map(|Present { user, record, revision }| {
            (user, Known { revision, record: Some(record) })
        });
        for (user, read) in known.chain(nothing) {
            if let Some(watched) = watched.get_mut(&user) {
                // What was heard meanwhile is newer.
                watched.known.get_or_insert(read);
            }
        }
        Ok(())
    }

    /// Reads once more what may have changed unheard.
    pub(super) async fn read_again(&self, users: &[UserId]) {
        for users in users.chunks(PAGE_ITEMS) {
            while self.is_any_watched(users) {
                let Ok(present) = self.read(users).await else {
                    sleep(RETRY).await;
                    continue;
                };
                for Present { user, record, revision } in present {
                    self.learn(user, Known { revision, record: Some(record) });
                }
                break;
            }
        }
    }

    fn is_any_watched(&self, users: &[UserId]) -> bool {
        let watched = lock(&self.hub.watched);
        users.iter().any(|user| watched.contains_key(user))
    }

    async fn read(&self, users: &[UserId]) -> Result<Vec<Present>, WatchError> {
        self.hub.bucket.of(users).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "presence not read");
            WatchError
        })
    }

    /// What is known of users, in their order.
    pub(super) async fn entries(
        &self,
        users: &[UserId],
    ) -> Result<Vec<Option<Arc<Entry>>>, WatchError> {
        let lookups: Vec<_> = users.iter().map(|&user| self.hub.roster.get(user)).collect();
        let mut lookups = stream::iter(lookups).buffered(AT_ONCE);
        let mut entries = Vec::with_capacity(users.len());
        while let Some(entry) = lookups.next().await {
            entries.push(entry.map_err(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "directory unavailable");
                WatchError
            })?);
        }
        Ok(entries)
    }
}

impl Viewer {
    pub(super) fn new(user: UserId, mailbox: &Arc<Mailbox>) -> Self {
        Self { user, mailbox: Arc::clone(mailbox), told: None, is_answered: false }
    }
}

impl Watched {
    pub(super) fn new(subscription: Subscription<Inlet>) -> Self {
        Self { subscription, known: None, viewers: Vec::new(), telling: Telling::Idle }
    }

    pub(super) fn record(&self) -> Option<&PresenceRecord> {
        self.known.as_ref()?.record.as_ref()
    }

    fn tell(&mut self, user: UserId, entry: Option<&Entry>) {
        let record = self.record().copied();
        for viewer in self.viewers.iter_mut().filter(|viewer| viewer.is_answered) {
            let seen = view(user, record.as_ref(), entry, viewer.user);
            if viewer.told != Some(seen) {
                viewer.told = Some(seen);
                viewer.mailbox.presence([seen]);
            }
        }
    }
}

impl From<WatchError> for Refusal {
    fn from(error: WatchError) -> Self {
        Self::new(ErrorCode::Unavailable, error.to_string())
    }
}

/// No code that can panic runs under these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
