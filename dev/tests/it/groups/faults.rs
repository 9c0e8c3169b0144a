//! Gateways that die, leave or stand still while a group changes.

use std::time::Duration;

use dev::Stack;
use rustix::process::{Pid, Signal, kill_process};
use schemas::{ErrorCode, body::Event, server::Frame};
use tokio::time::Instant;

use super::{Club, line, sends, told};
use crate::{
    people::{FIRST, Person, SECOND, ids},
    support::{self, undisturbed},
};

const LEASE: Duration = Duration::from_secs(3);
/// Beyond the lease: the server looks for what has ended every second or so,
/// and whoever waits asks twice a second.
const NOTICED: Duration = Duration::from_secs(4);

async fn stack() -> Stack {
    let lease = LEASE.as_secs().to_string();
    let stack = support::stack().gateways(2).limits(false).env("PETREL_LEASE_SECS", lease);
    stack.start().await.unwrap()
}

async fn timed<T>(doing: impl Future<Output = T>) -> (Duration, T) {
    let asked = Instant::now();
    let done = doing.await;
    (asked.elapsed(), done)
}

#[tokio::test]
async fn a_dead_gateway_holds_a_change_up_for_as_long_as_its_lease_and_no_longer() {
    undisturbed(async || {
        let stack = stack().await;
        let [alice, bob, carol] = Person::several_on(&stack).await;
        let club = Club::of(&[&alice, &bob]).await;
        let mut a = line(&alice, FIRST).await;
        let mut b = line(&bob, SECOND).await;
        b.sends(club.text("m0")).await;

        stack.gateways()[SECOND].kill9().await;
        let (took, added) = timed(club.add(&alice, FIRST, &carol)).await;
        added.unwrap();
        // It was renewed at most a third of its life before.
        assert!(took >= LEASE / 2 && took < LEASE + NOTICED, "{took:?}");
        a.gets_all(2).await;
        a.sends(club.text("m1")).await;
        let items = carol.fetch(FIRST).await.items;
        assert_eq!(
            told(club, &items[..1]),
            [(alice.user(), Event::MemberAdded { user: carol.user() })]
        );
        assert_eq!(ids(&items[1..]), ["m1"]);

        let (took, removed) = timed(club.remove(&alice, FIRST, &carol)).await;
        removed.unwrap();
        assert!(took < LEASE / 2, "nobody waits for the dead twice: {took:?}");

        stack.gateways()[SECOND].restart().await.unwrap();
        let mut c = line(&carol, SECOND).await;
        assert_eq!(c.is_refused(club.text("m2")).await, ErrorCode::NotMember);
        let (took, added) = timed(club.add(&alice, SECOND, &carol)).await;
        added.unwrap();
        assert!(took < LEASE / 2, "{took:?}");
        assert_eq!(c.gets_all(1).await.len(), 1);
        c.sends(club.text("m2")).await;
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_leaves_holds_nothing_up() {
    undisturbed(async || {
        let stack = stack().await;
        let [alice, bob] = Person::several_on(&stack).await;
        let club = Club::of(&[&alice]).await;
        stack.gateways()[SECOND].stop(Duration::from_secs(20)).await;
        let (took, added) = timed(club.add(&alice, FIRST, &bob)).await;
        added.unwrap();
        assert!(took < LEASE / 2, "{took:?}");
    })
    .await;
}

/// Stops a process, and waits until all of its threads have stopped.
async fn stand_still(pid: u32) -> Pid {
    let process = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let stands_still = || {
        std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().all(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            // After the name, which may hold anything, comes the state.
            stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
        })
    };
    while !stands_still() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    process
}

/// A gateway that stood still has remembered who was in the group, and was given
/// up by the others. It must not act on that when it goes on.
#[tokio::test]
async fn a_gateway_that_stood_still_does_not_act_on_what_it_remembers() {
    undisturbed(async || {
        let stack = stack().await;
        let [alice, bob, carol] = Person::several_on(&stack).await;
        let club = Club::of(&[&alice, &bob, &carol]).await;
        let mut b = line(&bob, SECOND).await;
        b.sends(club.text("m0")).await;

        let gateway = stand_still(stack.gateways()[SECOND].pid().unwrap()).await;
        b.say(club.text("m1")).await;
        let (took, removed) = timed(club.remove(&alice, FIRST, &carol)).await;
        removed.unwrap();
        assert!(took >= LEASE / 2 && took < LEASE + NOTICED, "{took:?}");
        kill_process(gateway, Signal::CONT).unwrap();

        // Refused until there is a lease again; and then it is known who is there.
        loop {
            match b.hears().await {
                Frame::Sent(sent) if sent.id.as_str() == "m1" => break,
                Frame::Error(error) if error.code == ErrorCode::Unavailable => {
                    b.say(club.text("m1")).await;
                }
                Frame::Messages { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let items = carol.fetch(FIRST).await.items;
        let removed = (alice.user(), Event::MemberRemoved { user: carol.user() });
        assert_eq!(told(club, &items).last(), Some(&removed));
        assert_eq!(ids(&items)[1..items.len() - 1], ["m0"]);
        assert_eq!(ids(&alice.fetch(FIRST).await.items).last(), Some(&"m1"));
    })
    .await;
}

/// The gateway that makes changes dies in the middle of one or between two. What
/// it leaves is set right by asking for the same again elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dying_gateway_left_is_set_right_by_asking_again() {
    undisturbed(async || {
        let stack = stack().await;
        let [alice, bob, carol] = Person::several_on(&stack).await;
        let club = Club::of(&[&alice, &bob]).await;
        let mut b = line(&bob, SECOND).await;
        b.sends(club.text("m0")).await;
        let changing = async {
            loop {
                // Cut off with its gateway.
                if club.add(&alice, FIRST, &carol).await.is_err()
                    || club.remove(&alice, FIRST, &carol).await.is_err()
                {
                    return;
                }
            }
        };
        let dying = async {
            b.gets_all(20).await;
            stack.gateways()[FIRST].kill9().await;
        };
        tokio::join!(changing, dying);

        let (took, added) = timed(club.add(&alice, SECOND, &carol)).await;
        added.unwrap();
        assert!(took < LEASE + NOTICED, "{took:?}");
        carol.fetch(SECOND).await;
        let sent = sends(&mut b, club.text("m1")).await.ts;
        assert_eq!(carol.fetch(SECOND).await.items.last().unwrap().ts, sent);
        club.remove(&alice, SECOND, &carol).await.unwrap();
        sends(&mut b, club.text("m2")).await;
        let items = carol.fetch(SECOND).await.items;
        let removed = (alice.user(), Event::MemberRemoved { user: carol.user() });
        assert_eq!(told(club, &items), [removed]);
    })
    .await;
}
