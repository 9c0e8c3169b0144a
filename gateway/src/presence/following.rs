//! The users that one session follows.

use std::{
    collections::{
        BTreeSet, HashMap,
        hash_map::Entry::{Occupied, Vacant},
    },
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use nats::mux::Subscription;
use schemas::UserId;
use tokio::time::sleep;

use super::{
    view::view,
    watching::{Viewer, WatchError, Watched, Watching, lock},
};
use crate::{inlet::Inlet, mailbox::Mailbox, roster::Entry};

/// When presence is read once more after it was first watched: a replica may
/// have lagged behind a change that nobody was subscribed to yet.
const SETTLE: Duration = Duration::from_millis(1_500);

/// The users one session follows, until it is dropped.
#[derive(Debug)]
pub(crate) struct Following {
    watching: Watching,
    viewer: UserId,
    mailbox: Arc<Mailbox>,
    users: Mutex<BTreeSet<UserId>>,
}

impl Following {
    /// Follows nobody yet.
    pub(super) fn new(watching: &Watching, viewer: UserId, mailbox: &Arc<Mailbox>) -> Self {
        let mailbox = Arc::clone(mailbox);
        Self { watching: watching.clone(), viewer, mailbox, users: Mutex::default() }
    }

    /// Follows these users and nobody else. Their current presence goes into
    /// the mailbox, and every change of it from then on.
    ///
    /// # Errors
    /// When NATS or the directory does not answer; changes are told all the same.
    pub(crate) async fn watch(&self, users: &[UserId]) -> Result<(), WatchError> {
        let users: BTreeSet<UserId> = users.iter().copied().collect();
        let unread = self.replace(&users);
        let answered = self.answer(&users, unread).await;
        if answered.is_err() {
            self.give_up(&users);
        }
        answered
    }

    async fn answer(
        &self,
        users: &BTreeSet<UserId>,
        unread: Vec<UserId>,
    ) -> Result<(), WatchError> {
        let hub = &self.watching.hub;
        if !unread.is_empty() {
            hub.mux.flush().await.map_err(|_| WatchError)?;
            self.watching.read_first(&unread).await?;
            self.read_once_more(unread);
        }
        let changes = hub.roster.changes();
        let users: Vec<_> = users.iter().copied().collect();
        let entries = self.watching.entries(&users).await?;
        self.tell(&users, &entries);
        if changes != hub.roster.changes() {
            // Some of what was looked up may be outdated.
            users.iter().for_each(|&user| self.watching.changed(user));
        }
        Ok(())
    }

    /// Enters this viewer with those users, and removes it from all others;
    /// gives the users that nobody watched yet.
    fn replace(&self, users: &BTreeSet<UserId>) -> Vec<UserId> {
        let hub = &self.watching.hub;
        let mut missing: Vec<_> = users.iter().copied().collect();
        let mut over = Vec::new();
        let unread = loop {
            missing.retain(|user| !lock(&hub.watched).contains_key(user));
            let subscriptions: Vec<_> =
                missing.iter().map(|&user| (user, self.watching.subscribe(user))).collect();
            let mut watched = lock(&hub.watched);
            for (user, subscription) in subscriptions {
                match watched.entry(user) {
                    // Another session came first.
                    Occupied(_) => over.push(subscription),
                    Vacant(vacant) => {
                        vacant.insert(Watched::new(subscription));
                    }
                }
            }
            // Another session was the last to leave somebody meanwhile.
            missing = users.iter().copied().filter(|user| !watched.contains_key(user)).collect();
            if missing.is_empty() {
                break self.enter(&mut watched, users, &mut over);
            }
        };
        drop(over);
        unread
    }

    /// The same, where all of them are watched.
    fn enter(
        &self,
        watched: &mut HashMap<UserId, Watched>,
        users: &BTreeSet<UserId>,
        over: &mut Vec<Subscription<Inlet>>,
    ) -> Vec<UserId> {
        let mut before = lock(&self.users);
        for user in before.difference(users) {
            over.extend(self.leave(watched, *user));
        }
        for user in users.difference(&before) {
            if let Some(watched) = watched.get_mut(user) {
                watched.viewers.push(Viewer::new(self.viewer, &self.mailbox));
            }
        }
        for user in users {
            if let Some(viewer) = self.find(watched, *user) {
                viewer.is_answered = false;
            }
        }
        *before = users.clone();
        let is_unread = |user: &UserId| watched.get(user).is_some_and(|one| one.known.is_none());
        users.iter().copied().filter(is_unread).collect()
    }

    /// Removes this viewer; gives the subscription that nobody needs any more.
    fn leave(
        &self,
        watched: &mut HashMap<UserId, Watched>,
        user: UserId,
    ) -> Option<Subscription<Inlet>> {
        let viewers = &mut watched.get_mut(&user)?.viewers;
        viewers.retain(|viewer| !Arc::ptr_eq(&viewer.mailbox, &self.mailbox));
        if !viewers.is_empty() {
            return None;
        }
        watched.remove(&user).map(|watched| watched.subscription)
    }

    /// Puts the current presence of these users into the mailbox.
    fn tell(&self, users: &[UserId], entries: &[Option<Arc<Entry>>]) {
        let mut watched = lock(&self.watching.hub.watched);
        let mut items = Vec::with_capacity(users.len());
        for (&user, entry) in users.iter().zip(entries) {
            let record = watched.get(&user).and_then(Watched::record).copied();
            let Some(viewer) = self.find(&mut watched, user) else { continue };
            let seen = view(user, record.as_ref(), entry.as_deref(), self.viewer);
            viewer.told = Some(seen);
            viewer.is_answered = true;
            items.push(seen);
        }
        self.mailbox.presence(items);
    }

    /// Leaves these users to be told of as soon as that is possible.
    fn give_up(&self, users: &BTreeSet<UserId>) {
        let mut watched = lock(&self.watching.hub.watched);
        for &user in users {
            if let Some(viewer) = self.find(&mut watched, user) {
                viewer.is_answered = true;
            }
            if let Some(watched) = watched.get_mut(&user) {
                self.watching.tell_soon(user, watched);
            }
        }
    }

    /// This viewer, among those of a user.
    fn find<'a>(
        &self,
        watched: &'a mut HashMap<UserId, Watched>,
        user: UserId,
    ) -> Option<&'a mut Viewer> {
        let viewers = &mut watched.get_mut(&user)?.viewers;
        viewers.iter_mut().find(|viewer| Arc::ptr_eq(&viewer.mailbox, &self.mailbox))
    }

    fn read_once_more(&self, users: Vec<UserId>) {
        let watching = self.watching.clone();
        self.watching.spawn(async move {
            sleep(SETTLE).await;
            watching.read_again(&users).await;
        });
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let users = mem::take(&mut *lock(&self.users));
        let mut watched = lock(&self.watching.hub.watched);
        let over: Vec<_> =
            users.iter().filter_map(|&user| self.leave(&mut watched, user)).collect();
        drop(watched);
        drop(over);
    }
}
