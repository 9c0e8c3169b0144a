//! Changes of members that race with messages: who was in the group when a
//! message was sent gets it, and nobody else.

use futures_util::future::join_all;
use schemas::body::{Event, Role};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Club, event, line, members, sends};
use crate::people::{FIRST, PATIENCE, Person, SECOND, ids};

/// A message that was Sent.
#[derive(Debug)]
struct Sent {
    id: String,
    began: Instant,
    ended: Instant,
}

/// Sends message after message until told to stop.
struct Talker {
    stop: CancellationToken,
    count: watch::Receiver<usize>,
    task: JoinHandle<Vec<Sent>>,
}

impl Talker {
    async fn start(person: &Person, club: Club, gateway: usize) -> Self {
        let mut line = line(person, gateway).await;
        let (stop, (counter, count)) = (CancellationToken::new(), watch::channel(0));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut sent = Vec::new();
            while !stopped.is_cancelled() {
                let id = format!("g{gateway}-{}", sent.len());
                let began = Instant::now();
                let answer = sends(&mut line, club.text(&id)).await;
                assert_eq!((answer.id.as_str(), answer.full.len()), (id.as_str(), 0));
                sent.push(Sent { id, began, ended: Instant::now() });
                counter.send_replace(sent.len());
            }
            sent
        });
        Self { stop, count, task }
    }

    /// Waits until some more are sent.
    async fn talks_on(&mut self) {
        let before = *self.count.borrow();
        let talks = self.count.wait_for(|count| *count >= before + 4);
        assert!(timeout(PATIENCE, talks).await.unwrap().is_ok());
    }

    async fn stop(self) -> Vec<Sent> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

/// When a change of members was asked for, and when it was answered.
#[derive(Debug, Clone, Copy)]
struct Change {
    asked: Instant,
    answered: Instant,
}

async fn talk_on(talkers: &mut [Talker]) {
    join_all(talkers.iter_mut().map(Talker::talks_on)).await;
}

async fn change(doing: impl Future<Output = ()>) -> Change {
    let asked = Instant::now();
    doing.await;
    Change { asked, answered: Instant::now() }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_two_gateways_send_a_member_comes_and_goes() {
    const ROUNDS: usize = 5;
    let [alice, bob, carol, dave] = Person::several().await;
    let club = Club::of(&[&alice, &bob, &dave]).await;
    let mut talkers =
        [Talker::start(&alice, club, FIRST).await, Talker::start(&bob, club, SECOND).await];
    let mut stays = Vec::new();
    for round in 0..ROUNDS {
        let gateway = round % 2;
        let added = change(async { drop(club.add(&alice, gateway, &carol).await.unwrap()) }).await;
        talk_on(&mut talkers).await;
        let removed =
            change(async { club.remove(&alice, 1 - gateway, &carol).await.unwrap() }).await;
        talk_on(&mut talkers).await;
        stays.push((added, removed));
    }
    let mut sent = Vec::new();
    for talker in talkers {
        sent.extend(talker.stop().await);
    }

    let everything = dave.fetch(FIRST).await.items;
    let carols = carol.fetch(SECOND).await.items;
    // Carol was away: what she gets is what lies in her inbox, and nothing else
    // lies between what says that she left and what says that she is back.
    let mut heard = Vec::new();
    for item in &carols {
        match event(item) {
            Some(Event::MemberAdded { user }) if user == carol.user() => heard.push(Vec::new()),
            Some(Event::MemberRemoved { user }) if user == carol.user() => heard.push(vec![]),
            Some(other) => panic!("{other:?}"),
            None => heard.last_mut().expect("before she was added").push(item.id.as_str()),
        }
    }
    assert_eq!(heard.len(), 2 * ROUNDS);
    for (round, (added, removed)) in stays.iter().enumerate() {
        let here = &heard[2 * round];
        assert!(heard[2 * round + 1].is_empty(), "after she was removed: {heard:?}");
        for Sent { id, began, ended } in &sent {
            let surely = *began > added.answered && *ended < removed.asked;
            let never = *began > removed.answered || *ended < added.asked;
            assert!(!surely || here.contains(&id.as_str()), "{id} is missing in round {round}");
            assert!(!never || !here.contains(&id.as_str()), "{id} in round {round}");
        }
    }
    // Who was there all the time misses nothing.
    let kept = ids(&everything);
    assert!(sent.iter().all(|sent| kept.contains(&sent.id.as_str())));
    assert!(sent.len() > 4 * ROUNDS, "{} messages", sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_through_two_gateways_are_told_alike_to_everybody() {
    const EACH: usize = 30;
    let [alice, bob, carol, dave, eve] = Person::several().await;
    let club = Club::of(&[&alice, &bob, &carol]).await;
    club.promote(&alice, FIRST, &bob, Role::Admin).await.unwrap();
    let toggle = async |admin: &Person, gateway, who: &Person, first: usize| {
        for n in first..first + EACH {
            if n % 2 == 0 {
                club.add(admin, gateway, who).await.unwrap();
            } else {
                club.remove(admin, gateway, who).await.unwrap();
            }
        }
    };
    let rename = async || {
        for n in 0..EACH {
            club.rename(&carol, FIRST, &format!("name {n}")).await.unwrap();
        }
    };
    // Dave is added by some while he is removed by others.
    tokio::join!(
        toggle(&alice, FIRST, &dave, 0),
        toggle(&alice, SECOND, &dave, 1),
        toggle(&bob, SECOND, &dave, 0),
        toggle(&bob, FIRST, &dave, 1),
        toggle(&alice, SECOND, &eve, 0),
        rename(),
    );
    let group = club.read(&alice, SECOND).await.unwrap();
    let mut seen = Vec::new();
    for person in [&alice, &bob, &carol] {
        let items = person.fetch(FIRST).await.items;
        seen.push(super::told(club, &items));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    for person in [&dave, &eve] {
        let told = super::told(club, &person.fetch(SECOND).await.items);
        let mut is_in = false;
        for (_, event) in &told {
            match event {
                Event::MemberAdded { user } if *user == person.user() => {
                    assert!(!is_in, "{told:?}");
                    is_in = true;
                }
                Event::MemberRemoved { user } if *user == person.user() => {
                    assert!(is_in, "{told:?}");
                    is_in = false;
                }
                other => assert!(is_in, "{other:?} in {told:?}"),
            }
        }
        let truth = members(&group).iter().any(|(user, _)| *user == person.user());
        assert_eq!(is_in, truth, "what is told last is true");
    }
}
