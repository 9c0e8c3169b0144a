//! Gateways and workers die.

use std::{collections::BTreeMap, time::Duration};

use dev::{
    Stack,
    client::{Buffers, Socket},
};
use futures_util::future::join_all;
use schemas::{Millis, UserId, limits::DEVICES, server::PresenceState};
use serde_json::json;

use super::{Person, online};
use crate::{
    people::{FIRST, Line, PATIENCE, SECOND},
    support::{self, undisturbed},
};

/// How long a gateway's lease lasts here, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(3);
const RENEWED: Duration = Duration::from_secs(1);
/// How often a slow machine may be too late for a lease.
const TRIES: usize = 10;
/// As many people with all of their devices hold a thousand sessions.
const PEOPLE: usize = 125;

async fn stack(workers: usize) -> Stack {
    let lease = LEASE.as_secs().to_string();
    let stack = support::stack().gateways(2).workers(workers).limits(false);
    stack.env("PETREL_LEASE_SECS", lease).start().await.unwrap()
}

/// Hears of each of these users once that they are in this state, and of
/// nothing else; when they were last seen.
async fn hears_of_all(
    line: &mut Line,
    users: &[UserId],
    state: PresenceState,
) -> BTreeMap<UserId, Option<Millis>> {
    let mut told = BTreeMap::new();
    while told.len() < users.len() {
        for presence in line.hears_presence().await {
            assert!(users.contains(&presence.user));
            assert_eq!(presence.state, state);
            assert_eq!(told.insert(presence.user, presence.last_seen), None, "told twice");
        }
    }
    told
}

async fn connect_all_devices(person: &Person) -> Vec<Socket> {
    let mut devices = vec![];
    for _ in 1..DEVICES {
        devices.push(person.link().await);
    }
    let api = person.at(FIRST).api;
    let accounts = devices.iter().map(|device| &device.account).chain([&person.account]);
    join_all(accounts.map(async |account| {
        let mut socket = Socket::connect(api.base(), Buffers::SMALL).await.unwrap();
        let hello = json!({"type": "hello", "token": account.token()});
        socket.send_text(hello.to_string()).await.unwrap();
        while !socket.text(PATIENCE).await.unwrap().contains("caught_up") {}
        socket
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sessions_end_with_their_gateway() {
    undisturbed(async || {
        let stack = stack(2).await;
        let viewer = Person::on(&stack).await;
        let people = join_all((0..PEOPLE).map(|_| Person::on(&stack))).await;
        let users: Vec<_> = people.iter().map(Person::user).collect();
        let mut line = viewer.connect(SECOND).await;
        line.watches(&people.iter().collect::<Vec<_>>()).await;
        assert_eq!(line.hears_presence().await.len(), PEOPLE);

        let _sockets = join_all(people.iter().map(connect_all_devices)).await;
        hears_of_all(&mut line, &users, PresenceState::Online).await;
        let before = Millis::now();
        stack.gateways()[FIRST].kill9().await;
        let after = Millis::now();
        let told = hears_of_all(&mut line, &users, PresenceState::Offline).await;
        // The gateway's last sign of life is all that anybody can know.
        let earliest = before.0 - i64::try_from(2 * RENEWED.as_millis()).unwrap();
        for last_seen in told.into_values().flatten() {
            assert!(
                (earliest..=after.0).contains(&last_seen.0),
                "{last_seen:?}, killed at {before:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_elsewhere_before_the_lease_ends_was_never_offline() {
    for _ in 0..TRIES {
        if is_elsewhere_in_time().await {
            return;
        }
    }
    panic!("the lease ended first {TRIES} times");
}

/// Whether it was before the lease ended, and so shows what it is to show.
async fn is_elsewhere_in_time() -> bool {
    let stack = stack(1).await;
    let bus = stack.bus().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let mut a = alice.connect(SECOND).await;
    let b = bob.connect(FIRST).await;
    a.watches(&[&bob]).await;
    while a.hears_presence().await != [online(&bob)] {}
    stack.gateways()[FIRST].kill9().await;
    drop(b);
    let b = bob.connect(SECOND).await;
    if nats::Leases::new(bus.clone()).live().await.unwrap().len() < 2 {
        return false;
    }
    // Once this is done, so is what the gateway's end brings about.
    let gone = async {
        let sessions = nats::Sessions::new(bus);
        while sessions.gateways().await.unwrap().len() < 2 || all_live(&sessions).await > 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    let before = Millis::now();
    b.hangs_up().await;
    let told = hears_of_all(&mut a, &[bob.user()], PresenceState::Offline).await;
    assert!(told[&bob.user()].unwrap() >= before);
    true
}

/// How many gateways have written that all of their sessions are there.
async fn all_live(sessions: &nats::Sessions) -> usize {
    let gateways = sessions.gateways().await.unwrap();
    let live = join_all(gateways.iter().map(|&gateway| sessions.are_all_in(gateway))).await;
    live.into_iter().filter(|is_in| matches!(is_in, Ok(true))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_in_the_middle_leave_the_truth() {
    let stack = stack(2).await;
    let viewer = Person::on(&stack).await;
    let people = join_all((0..40).map(|_| Person::on(&stack))).await;
    let mut line = viewer.connect(SECOND).await;
    line.watches(&people.iter().collect::<Vec<_>>()).await;
    assert_eq!(line.hears_presence().await.len(), people.len());

    let mut stay = Vec::new();
    let coming_and_going = async {
        for round in 0..4 {
            let lines = join_all(people.iter().map(|person| person.connect(round % 2))).await;
            for (index, line) in lines.into_iter().enumerate() {
                if round == 3 && index % 2 == 0 {
                    stay.push(line);
                } else {
                    line.hangs_up().await;
                }
            }
        }
    };
    let killing = async {
        for round in 0..4 {
            let worker = &stack.workers()[round % 2];
            worker.kill9().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            worker.restart().await.unwrap();
        }
    };
    tokio::join!(coming_and_going, killing);

    let expected: BTreeMap<_, _> = people
        .iter()
        .enumerate()
        .map(|(index, person)| {
            let stays = index % 2 == 0;
            let state = if stays { PresenceState::Online } else { PresenceState::Offline };
            (person.user(), state)
        })
        .collect();
    let mut told: BTreeMap<_, _> =
        people.iter().map(|person| (person.user(), PresenceState::Offline)).collect();
    let is_true = async {
        while told != expected || !is_settled(&stack).await {
            if let Ok(items) =
                tokio::time::timeout(Duration::from_millis(100), line.hears_presence()).await
            {
                told.extend(items.into_iter().map(|one| (one.user, one.state)));
            }
        }
    };
    tokio::time::timeout(2 * PATIENCE, is_true).await.expect("the truth is told in the end");
    drop(stay);
}

/// Whether the presence workers have nothing left to do.
async fn is_settled(stack: &Stack) -> bool {
    use nats::subject::{SESSIONS_CONSUMER, SESSIONS_STREAM};
    let bus = stack.bus().await.unwrap();
    let stream = bus.jetstream.get_stream(SESSIONS_STREAM).await.unwrap();
    let info = stream.consumer_info(SESSIONS_CONSUMER).await.unwrap();
    info.num_pending == 0 && info.num_ack_pending == 0
}
