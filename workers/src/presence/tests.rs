//! The ledger against stand-ins for its stores: two workers at once, with
//! repetition, reordering, failures and crashes between any two steps.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use nats::{presence::Present, sessions::Registered, subject::Seat};
use proptest::{collection::vec, prelude::*};
use schemas::{
    DeviceId, GatewayId, Micros, Millis, SessionId, UserId,
    event::{PresenceRecord, SessionMark},
    server::PresenceState,
};

use super::{
    ledger::Ledger,
    stores::{Bucket, Registry},
};
use crate::unavailable::{Unavailable, Unwritten};

const WORKERS: usize = 2;
const SESSIONS: u8 = 3;

/// One user's stores; clones share them.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sessions: BTreeMap<u8, SessionMark>,
    /// Sessions whose start a worker has dealt with.
    settled: BTreeSet<u8>,
    presence: Option<(PresenceRecord, u64)>,
    revision: u64,
    /// How the next requests go; after that, well and at once.
    fates: VecDeque<Fate>,
}

/// How one request goes.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Well, after others had this many chances to come in between.
    Fine(u8),
    /// Nothing happens and an error comes back.
    Fails,
    /// It happens, but an error comes back.
    Unheard,
}

/// What happens to a session.
#[derive(Debug, Clone, Copy)]
enum Step {
    Starts(u8),
    Ends(u8),
}

/// What a worker does with the next event.
#[derive(Debug, Clone, Copy)]
struct Handling {
    /// Which of those that wait.
    picks: usize,
    /// It dies after so many chances.
    cut: Option<u8>,
    /// The event comes once more although it was dealt with.
    repeats: bool,
}

fn user() -> UserId {
    UserId::from_parts(1, 1)
}

fn seat(session: u8) -> Seat {
    Seat {
        gateway: GatewayId::from_parts(1, u128::from(session % 2)),
        user: user(),
        device: DeviceId::from_parts(1, u128::from(session)),
        session: SessionId::from_parts(1, u128::from(session)),
    }
}

fn number(seat: &Seat) -> u8 {
    (0..SESSIONS).find(|&session| self::seat(session).session == seat.session).unwrap()
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets others come in between; whether the request is carried out, and
    /// whether its answer is heard.
    async fn request(&self) -> (bool, bool) {
        let fate = self.lock().fates.pop_front().unwrap_or(Fate::Fine(0));
        match fate {
            Fate::Fine(chances) => {
                for _ in 0..chances {
                    tokio::task::yield_now().await;
                }
                (true, true)
            }
            Fate::Fails => (false, false),
            Fate::Unheard => (true, false),
        }
    }

    async fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, Unavailable> {
        let (_, heard) = self.request().await;
        if heard { Ok(read(&self.lock())) } else { Err(Unavailable::new("not heard")) }
    }
}

impl State {
    fn is_there(&self, session: u8) -> bool {
        matches!(self.sessions.get(&session), Some(SessionMark::Started { .. }))
    }
}

impl Registry for World {
    async fn of_user(&self, _: UserId) -> Result<Vec<Registered>, Unavailable> {
        self.read(|state| {
            let sessions = state.sessions.iter();
            sessions
                .map(|(&session, &mark)| Registered { seat: seat(session), mark, revision: 1 })
                .collect()
        })
        .await
    }

    async fn mark(&self, seat: &Seat) -> Result<Option<SessionMark>, Unavailable> {
        let session = number(seat);
        self.read(|state| state.sessions.get(&session).copied()).await
    }

    async fn is_whole(&self) -> Result<bool, Unavailable> {
        Ok(true)
    }
}

impl Bucket for World {
    async fn newest(&self, user: UserId) -> Result<Option<Present>, Unavailable> {
        self.read(|state| {
            state.presence.map(|(record, revision)| Present { user, record, revision })
        })
        .await
    }

    async fn put(
        &self,
        _: UserId,
        record: &PresenceRecord,
        revision: u64,
    ) -> Result<(), Unwritten> {
        let (happens, heard) = self.request().await;
        let mut state = self.lock();
        if happens {
            if state.presence.map_or(0, |(_, revision)| revision) != revision {
                return Err(Unwritten::Conflict);
            }
            if record.state == PresenceState::Offline {
                let wrong: Vec<_> =
                    state.settled.iter().filter(|&&session| state.is_there(session)).collect();
                assert!(wrong.is_empty(), "offline, although {wrong:?} are there");
            }
            state.revision += 1;
            state.presence = Some((*record, state.revision));
        }
        if heard { Ok(()) } else { Err(Unwritten::Unavailable(Unavailable::new("not heard"))) }
    }
}

/// Handles one event; whether that is done.
async fn handle(worker: &Ledger<World, World>, world: &World, step: Step, cut: Option<u8>) -> bool {
    let cut_off = async {
        let Some(chances) = cut else { return std::future::pending().await };
        for _ in 0..chances {
            tokio::task::yield_now().await;
        }
    };
    let handling = async {
        match step {
            Step::Starts(session) => worker.came(&seat(session)).await,
            // The sign of life comes with the event, too.
            Step::Ends(session) => worker.left(user(), heard(session).into()).await,
        }
    };
    tokio::select! {
        biased;
        () = cut_off => false,
        done = handling => {
            if let (Step::Starts(session), true) = (step, done.is_ok()) {
                world.lock().settled.insert(session);
            }
            done.is_ok()
        }
    }
}

fn heard(session: u8) -> Micros {
    Micros(i64::from(session) * 1_000_000)
}

async fn run(steps: Vec<(Step, u8)>, handlings: Vec<Handling>, fates: Vec<Fate>) {
    let world = World::default();
    world.lock().fates = fates.into();
    let events = Arc::new(Mutex::new(VecDeque::new()));
    let handlings = Arc::new(Mutex::new(VecDeque::from(handlings)));
    let is_over = Arc::new(Mutex::new(false));
    let happening = async {
        for (step, chances) in steps {
            for _ in 0..chances {
                tokio::task::yield_now().await;
            }
            let mut state = world.lock();
            let (session, mark) = match step {
                Step::Starts(session) => (session, SessionMark::Started { at: heard(session) }),
                Step::Ends(session) => {
                    (session, SessionMark::Ended { heard: heard(session), lingers: false })
                }
            };
            let ends_nothing = matches!(step, Step::Ends(_)) && !state.is_there(session);
            let starts_again =
                matches!(step, Step::Starts(_)) && state.sessions.contains_key(&session);
            if ends_nothing || starts_again {
                continue;
            }
            state.sessions.insert(session, mark);
            events.lock().unwrap().push_back(step);
        }
        *is_over.lock().unwrap() = true;
    };
    let working = (0..WORKERS).map(async |_| {
        let worker = Ledger::new(world.clone(), world.clone());
        loop {
            let handling = handlings.lock().unwrap().pop_front().unwrap_or(Handling {
                picks: 0,
                cut: None,
                repeats: false,
            });
            let event = {
                let mut events = events.lock().unwrap();
                let waiting = events.len().max(1);
                events.remove(handling.picks % waiting)
            };
            match event {
                Some(step) => {
                    let done = handle(&worker, &world, step, handling.cut).await;
                    if !done || handling.repeats {
                        events.lock().unwrap().push_back(step);
                    }
                }
                None if *is_over.lock().unwrap() => return,
                None => {}
            }
            tokio::task::yield_now().await;
        }
    });
    // A worker that found nothing to do may have left while the other one's
    // event was to come again: that one stays.
    tokio::join!(happening, futures_util::future::join_all(working));
    assert!(events.lock().unwrap().is_empty());

    let state = world.lock();
    let is_online = (0..SESSIONS).any(|session| state.is_there(session));
    let last = state.sessions.keys().max().map(|&session| Millis::from(heard(session)));
    match state.presence {
        None => assert!(!is_online),
        Some((record, _)) if is_online => assert_eq!(record.state, PresenceState::Online),
        Some((record, _)) => {
            assert_eq!((record.state, record.last_seen), (PresenceState::Offline, last));
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<(Step, u8)>> {
    let step = (0..SESSIONS, any::<bool>()).prop_map(|(session, starts)| {
        if starts { Step::Starts(session) } else { Step::Ends(session) }
    });
    vec((step, 0..6u8), 1..12)
}

fn handlings() -> impl Strategy<Value = Vec<Handling>> {
    let handling = (0..4usize, proptest::option::weighted(0.2, 0..12u8), prop::bool::weighted(0.2))
        .prop_map(|(picks, cut, repeats)| Handling { picks, cut, repeats });
    vec(handling, 0..30)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        8 => (0..5u8).prop_map(Fate::Fine),
        1 => Just(Fate::Fails),
        1 => Just(Fate::Unheard),
    ];
    vec(fate, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever comes in between, what is written in the end is true, and
    /// nobody whose session was dealt with is called offline while it lasts.
    #[test]
    fn presence_ends_as_the_truth_and_never_flickers(
        steps in steps(),
        handlings in handlings(),
        fates in fates(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps, handlings, fates));
    }
}
