//! What is under way in one group, and who waits until it is over. Pure.
//!
//! A pass is open for as long as something acts on who is in the group: from
//! before that is read, when any version may still come out, until everything
//! that was begun with it has ended. A barrier waits for the passes before it
//! that act, or may yet act, on an older version than its own. Those after it
//! cannot: by then the older one is in no cache, and the directory gives the newer.
//!
//! Those that change the group are passes, too, so that of two changes, through
//! whatever gateways, the earlier is told to everybody before the later.

use std::collections::{BTreeMap, BTreeSet};

/// Counts the changes of a group; 0 is before the first.
pub(super) type Version = u64;

/// One pass, as its group counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PassId(u64);

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To reach who is in the group.
    Use,
    /// To change that, and to tell of it.
    Change,
}

/// What a barrier waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Earlier changes.
    Changes,
    /// All that is under way.
    All,
}

/// The passes through one group.
#[derive(Debug)]
pub(super) struct Passes<W> {
    open: BTreeMap<PassId, Open>,
    next: u64,
    barriers: Vec<Barrier<W>>,
}

#[derive(Debug)]
struct Open {
    purpose: Purpose,
    /// What it acts on, once that is known; for a change, what it made.
    version: Option<Version>,
}

#[derive(Debug)]
struct Barrier<W> {
    version: Version,
    awaited: BTreeSet<PassId>,
    waiter: W,
}

impl<W> Default for Passes<W> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), next: 0, barriers: Vec::new() }
    }
}

impl<W> Passes<W> {
    /// Whether nothing is under way; then nobody waits either.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Opens a pass that is about to read who is in the group.
    pub(super) fn begin(&mut self, purpose: Purpose) -> PassId {
        let pass = PassId(self.next);
        self.next += 1;
        self.open.insert(pass, Open { purpose, version: None });
        pass
    }

    /// The pass acts on this version, and on no other from now on; who no
    /// longer waits.
    pub(super) fn learn(&mut self, pass: PassId, version: Version) -> Vec<W> {
        if let Some(open) = self.open.get_mut(&pass) {
            open.version = Some(version);
        }
        self.release(|barrier| version >= barrier.version, pass)
    }

    /// All that the pass began has ended; who no longer waits.
    pub(super) fn finish(&mut self, pass: PassId) -> Vec<W> {
        self.open.remove(&pass);
        self.release(|_| true, pass)
    }

    /// Waits for whatever acts on an older version; gives the waiter back where
    /// nothing does.
    pub(super) fn barrier(&mut self, scope: Scope, version: Version, waiter: W) -> Option<W> {
        let counts = |open: &Open| {
            let in_scope = scope == Scope::All || open.purpose == Purpose::Change;
            in_scope && open.version.is_none_or(|known| known < version)
        };
        let awaited: BTreeSet<PassId> =
            self.open.iter().filter(|(_, open)| counts(open)).map(|(pass, _)| *pass).collect();
        if awaited.is_empty() {
            return Some(waiter);
        }
        self.barriers.push(Barrier { version, awaited, waiter });
        None
    }

    fn release(&mut self, frees: impl Fn(&Barrier<W>) -> bool, pass: PassId) -> Vec<W> {
        let freed = self.barriers.extract_if(.., |barrier| {
            frees(barrier) && barrier.awaited.remove(&pass) && barrier.awaited.is_empty()
        });
        freed.map(|barrier| barrier.waiter).collect()
    }
}

#[cfg(test)]
#[path = "passes_tests.rs"]
mod tests;
