//! This gateway's part of the registry: it writes which sessions start and end
//! here, and all of them once more whenever the registry may have lost them.
//!
//! Nobody waits for it. What there is to write is kept by session, so that it
//! grows with the number of sessions at most, however long NATS is away.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use nats::{Bus, Sessions, subject};
use schemas::{DeviceId, GatewayId, Micros, SessionId, UserId, event::SessionMark};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{group::Lease, session::Identity};

/// Sessions written together.
const AT_ONCE: usize = 256;
/// The pause after a write that failed.
const RETRY: Duration = Duration::from_millis(250);
/// How often it is looked whether the registry is still there.
const LOOK: Duration = Duration::from_secs(15);
/// How long a stopping gateway writes which sessions ended.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Who is connected here; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    shared: Arc<Shared>,
}

/// A session's place in the registry: it is there until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    shared: Arc<Shared>,
    place: Place,
    /// When the client gave its last sign of life.
    pub(crate) heard: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Who is here since when.
    seated: HashMap<Place, Micros>,
    /// What is to be written: the newest of each session.
    unwritten: HashMap<Place, SessionMark>,
    /// Whether it is written already that all sessions are.
    says_all: bool,
}

/// A session, on this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    user: UserId,
    device: DeviceId,
    session: SessionId,
}

impl Registry {
    /// A session starts.
    pub(crate) fn enter(&self, me: Identity, session: SessionId, at: Micros) -> Registration {
        let place = Place { user: me.user, device: me.device, session };
        let mut state = self.shared.lock();
        state.seated.insert(place, at);
        state.unwritten.insert(place, SessionMark::Started { at });
        self.shared.wake(state);
        Registration { shared: Arc::clone(&self.shared), place, heard: Instant::now() }
    }

    /// A device that has no session gave a sign of life.
    pub(crate) fn seen(&self, me: Identity) {
        let session = SessionId::of_polls(me.device);
        let place = Place { user: me.user, device: me.device, session };
        let mark = SessionMark::Ended { heard: Micros::now(), lingers: true };
        let mut state = self.shared.lock();
        state.unwritten.insert(place, mark);
        self.shared.wake(state);
    }

    /// Writes what there is to write until `stop`, and then what is left.
    pub(crate) async fn keep(
        self,
        bus: Bus,
        gateway: GatewayId,
        mut lease: Lease,
        stop: CancellationToken,
    ) {
        let sessions = Sessions::new(bus.clone());
        let mut next_look = Instant::now() + LOOK;
        while !stop.is_cancelled() {
            let lost = bus.lost();
            self.write_all(&sessions, gateway, &lease, &stop).await;
            tokio::select! {
                () = self.shared.changed.notified() => {}
                () = stop.cancelled() => {}
                // Taken for dead meanwhile, or everything in memory was lost.
                () = lease.changed() => self.write_again(),
                () = lost => self.write_again(),
                () = sleep_until(next_look) => {
                    next_look = Instant::now() + LOOK;
                    if matches!(sessions.are_all_in(gateway).await, Ok(false)) {
                        self.write_again();
                    }
                }
            }
        }
        let rest = async { while self.write_some(&sessions, gateway).await == Step::Written {} };
        if timeout(LAST_WRITES, rest).await.is_err() {
            tracing::info!("some ends of sessions were not written: they follow from the lease");
        }
    }

    /// Everything is to be written once more.
    fn write_again(&self) {
        let mut state = self.shared.lock();
        let State { seated, unwritten, says_all } = &mut *state;
        for (place, at) in seated {
            unwritten.entry(*place).or_insert(SessionMark::Started { at: *at });
        }
        *says_all = false;
    }

    /// Writes until nothing is left. Whoever holds no lease is taken for dead,
    /// and its sessions for over: they are written when it is back.
    async fn write_all(
        &self,
        sessions: &Sessions,
        gateway: GatewayId,
        lease: &Lease,
        stop: &CancellationToken,
    ) {
        while lease.is_held() && !stop.is_cancelled() {
            match self.write_some(sessions, gateway).await {
                Step::Written => {}
                Step::Failed => sleep(RETRY).await,
                Step::Nothing if self.shared.lock().says_all => return,
                // A session that comes meanwhile is a new one, as there always
                // may be: it is missing no longer than it takes to write it.
                Step::Nothing => match sessions.all_in(gateway).await {
                    Ok(()) => self.shared.lock().says_all = true,
                    Err(_) => sleep(RETRY).await,
                },
            }
        }
    }

    async fn write_some(&self, sessions: &Sessions, gateway: GatewayId) -> Step {
        let some = self.shared.lock().take_some();
        if some.is_empty() {
            return Step::Nothing;
        }
        let writes = some.iter().map(async |(place, mark)| {
            let Place { user, device, session } = *place;
            let seat = subject::Seat { gateway, user, device, session };
            sessions.write(&seat, mark).await.is_ok()
        });
        let written = join_all(writes).await;
        let failed = some.into_iter().zip(written).filter(|(_, written)| !written);
        let failed: Vec<_> = failed.map(|(unwritten, _)| unwritten).collect();
        if failed.is_empty() {
            return Step::Written;
        }
        tracing::debug!(sessions = failed.len(), "not in the registry yet");
        self.shared.lock().put_back(failed);
        Step::Failed
    }
}

/// What came of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There was nothing to write.
    Nothing,
    /// It is written.
    Written,
    /// Some of it is not.
    Failed,
}

impl Shared {
    fn wake(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.changed.notify_one();
    }

    /// No code that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_some(&mut self) -> Vec<(Place, SessionMark)> {
        if self.unwritten.len() <= AT_ONCE {
            return mem::take(&mut self.unwritten).into_iter().collect();
        }
        let places: Vec<_> = self.unwritten.keys().take(AT_ONCE).copied().collect();
        places
            .into_iter()
            .filter_map(|place| Some((place, self.unwritten.remove(&place)?)))
            .collect()
    }

    /// What has changed since is newer.
    fn put_back(&mut self, unwritten: Vec<(Place, SessionMark)>) {
        for (place, mark) in unwritten {
            self.unwritten.entry(place).or_insert(mark);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let heard = Micros::now().minus(self.heard.elapsed());
        let mut state = self.shared.lock();
        state.seated.remove(&self.place);
        state.unwritten.insert(self.place, SessionMark::Ended { heard, lingers: true });
        self.shared.wake(state);
    }
}
