//! Who is in which group, as far as this gateway has read it, and what is under
//! way there.
//!
//! A cached group is exact for as long as the gateway holds its lease: nobody
//! answers for a change before this table was told of it (ADR 7). That it is
//! read again now and then heals what a gateway left behind that died in the
//! middle of a change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use schemas::{GroupId, UserId};
use tokio::{sync::oneshot, time::Instant};

use super::passes::{PassId, Passes, Purpose, Scope, Version};

/// Most groups remembered while nothing is under way in them; of 100 members
/// each they take some 30 MiB.
const GROUPS: usize = 16_384;
/// After so long a group is read again, where the directory answers.
const LIFE: Duration = Duration::from_secs(60);

/// The table; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    groups: HashMap<GroupId, Slot>,
    /// Rises when everything is let go: what was read across that is not kept.
    era: u64,
}

#[derive(Debug, Default)]
struct Slot {
    known: Option<Known>,
    /// Older versions than this are not to be acted on any more.
    floor: Version,
    passes: Passes<oneshot::Sender<()>>,
    /// Since the last sweep.
    used: bool,
}

#[derive(Debug)]
struct Known {
    membership: Arc<Membership>,
    until: Instant,
}

/// Who is in a group as of one version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    version: Version,
    /// Sorted. Nobody is in a group that is gone.
    members: Box<[UserId]>,
}

/// Something that acts on who is in a group, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    table: Table,
    group: GroupId,
    id: PassId,
    era: u64,
}

/// How old may be what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// Read or told within the last minute.
    New,
    /// Whatever there is: the directory is away.
    Any,
}

/// The directory gave an older version than one that this gateway was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the directory lags behind")]
pub(super) struct Outdated;

impl Membership {
    /// These users, as of this version.
    pub(super) fn new(version: Version, mut members: Vec<UserId>) -> Self {
        members.sort_unstable();
        Self { version, members: members.into() }
    }

    /// Everybody.
    pub(crate) fn members(&self) -> &[UserId] {
        &self.members
    }

    /// Whether this user is in it.
    pub(crate) fn has(&self, user: UserId) -> bool {
        self.members.binary_search(&user).is_ok()
    }
}

impl Table {
    /// Begins to act on a group.
    pub(super) fn enter(&self, group: GroupId, purpose: Purpose) -> Pass {
        let mut state = self.lock();
        state.make_room();
        let era = state.era;
        let slot = state.groups.entry(group).or_default();
        slot.used = true;
        let id = slot.passes.begin(purpose);
        Pass { table: self.clone(), group, id, era }
    }

    /// What is given back, if anything, resolves when no earlier change of the
    /// group than this one is being told from here.
    pub(super) fn turn(&self, group: GroupId, version: Version) -> Option<oneshot::Receiver<()>> {
        // In a group that is not here nothing is under way.
        self.lock().groups.get_mut(&group)?.wait(Scope::Changes, version)
    }

    /// A group changed: whatever begins from now on acts on that. What is given
    /// back, if anything, resolves when nothing is under way any more that acts
    /// on an earlier version.
    pub(super) fn changed(
        &self,
        group: GroupId,
        membership: Membership,
    ) -> Option<oneshot::Receiver<()>> {
        let version = membership.version;
        let mut state = self.lock();
        let slot = state.groups.get_mut(&group)?;
        slot.floor = slot.floor.max(version);
        slot.remember(Arc::new(membership));
        slot.wait(Scope::All, version)
    }

    /// Lets go of every group: changes may have gone unheard.
    pub(super) fn forget_all(&self) {
        let mut state = self.lock();
        state.era += 1;
        state.groups.retain(|_, slot| {
            slot.known = None;
            !slot.passes.is_idle()
        });
    }

    /// Whether nothing is under way in any group.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().groups.values().all(|slot| slot.passes.is_idle())
    }

    /// No code that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Before there are too many, those go that were not used since this was
    /// last done.
    fn make_room(&mut self) {
        if self.groups.len() >= GROUPS {
            self.groups.retain(|_, slot| std::mem::take(&mut slot.used) || !slot.passes.is_idle());
        }
    }
}

impl Slot {
    fn wait(&mut self, scope: Scope, version: Version) -> Option<oneshot::Receiver<()>> {
        let (over, is_over) = oneshot::channel();
        self.passes.barrier(scope, version, over).is_none().then_some(is_over)
    }

    fn remember(&mut self, membership: Arc<Membership>) {
        let known = self.known.as_ref().map(|known| known.membership.version);
        if known.is_none_or(|known| known <= membership.version) {
            self.known = Some(Known { membership, until: Instant::now() + LIFE });
        }
    }
}

impl Pass {
    /// Who is in the group, where that is remembered; the pass acts on that then.
    pub(super) fn remembered(&self, age: Age) -> Option<Arc<Membership>> {
        let mut state = self.table.lock();
        let slot = state.groups.get_mut(&self.group)?;
        let will_do = |known: &&Known| age == Age::Any || Instant::now() < known.until;
        let known = slot.known.as_ref().filter(will_do)?;
        let membership = Arc::clone(&known.membership);
        let freed = slot.passes.learn(self.id, membership.version);
        drop(state);
        free(freed);
        Some(membership)
    }

    /// Whether anything is remembered, however old.
    pub(super) fn has_remembered(&self) -> bool {
        self.table.lock().groups.get(&self.group).is_some_and(|slot| slot.known.is_some())
    }

    /// Who is in the group, as the directory says: the pass acts on that.
    ///
    /// # Errors
    /// When that is known to be old.
    pub(super) fn read(&self, membership: Membership) -> Result<Arc<Membership>, Outdated> {
        let mut state = self.table.lock();
        let keeps = state.era == self.era;
        let Some(slot) = state.groups.get_mut(&self.group) else { return Err(Outdated) };
        if membership.version < slot.floor {
            return Err(Outdated);
        }
        let membership = Arc::new(membership);
        if keeps {
            slot.remember(Arc::clone(&membership));
        }
        let freed = slot.passes.learn(self.id, membership.version);
        drop(state);
        free(freed);
        Ok(membership)
    }

    /// The pass is about this version of the group, and what it began with
    /// older ones has ended.
    pub(super) fn is_about(&self, version: Version) {
        let mut state = self.table.lock();
        let slot = state.groups.get_mut(&self.group);
        let freed = slot.map(|slot| slot.passes.learn(self.id, version));
        drop(state);
        free(freed.unwrap_or_default());
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        let Some(slot) = state.groups.get_mut(&self.group) else { return };
        let freed = slot.passes.finish(self.id);
        if slot.passes.is_idle() && slot.known.is_none() {
            state.groups.remove(&self.group);
        }
        drop(state);
        free(freed);
    }
}

fn free(waiters: Vec<oneshot::Sender<()>>) {
    for waiter in waiters {
        // Whoever asked may have gone.
        let _ = waiter.send(());
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
