//! Push while workers, providers and nats-servers fail.

use std::array;

use dev::push_receiver::{Answer, PushReceiver};
use futures_util::future::join_all;
use schemas::PushTarget;

use super::{all_is_looked_at, in_a_browser, is_gone, is_woken, stack, writes};
use crate::people::{FIRST, Person, text};

#[tokio::test]
async fn a_dead_target_is_forgotten() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).start().await.unwrap();
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let dead = in_a_browser(&bob, &receiver).await;
    receiver.answer(&dead, [Answer::status(410)]);
    writes(&alice, text("1", &bob, "hello")).await;
    assert!(receiver.requested(&dead, 1).await);
    all_is_looked_at(&stack, &receiver).await;
    // Another chat's would be told of at once.
    writes(&carol, text("1", &bob, "hello")).await;
    all_is_looked_at(&stack, &receiver).await;
    assert_eq!(receiver.requests(&dead), 1);

    bob.fetch(FIRST).await;
    is_gone(&stack, &bob).await;
    let alive = in_a_browser(&bob, &receiver).await;
    writes(&alice, text("2", &bob, "hello")).await;
    is_woken(&alive, &receiver).await;
}

#[tokio::test]
async fn a_provider_that_fails_is_tried_again_and_holds_up_no_other() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).start().await.unwrap();
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let in_trouble = in_a_browser(&bob, &receiver).await;
    let silent = receiver.android();
    let tablet = bob.link().await;
    tablet.account.set_push(Some(&silent)).await.unwrap();
    let well = receiver.iphone();
    carol.account.set_push(Some(&well)).await.unwrap();
    receiver.answer(&in_trouble, [Answer::status(500)]);
    receiver.answer(&silent, [Answer::Silence]);
    writes(&alice, text("1", &bob, "hello")).await;
    assert!(receiver.requested(&silent, 1).await);
    writes(&alice, text("2", &carol, "hello")).await;
    is_woken(&well, &receiver).await;
    assert_eq!(receiver.requests(&silent), 1, "it was not waited for");
    is_woken(&in_trouble, &receiver).await;
    is_woken(&silent, &receiver).await;
}

#[tokio::test]
async fn of_what_comes_together_nobody_waits_for_another() {
    const SAID: u64 = 3;
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).workers(1).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    // Devices of one person are in one shard.
    let silent: [_; 4] = array::from_fn(|_| receiver.android());
    let well: [_; 3] = array::from_fn(|_| receiver.iphone());
    for target in silent.iter().chain(&well) {
        bob.link().await.account.set_push(Some(target)).await.unwrap();
    }
    receiver.always("fcm", Answer::Silence);
    let worker = &stack.workers()[0];
    worker.kill9().await;
    for n in 0..SAID {
        writes(&alice, text(n.to_string(), &bob, "hello")).await;
    }
    worker.restart().await.unwrap();

    for target in &well {
        assert_eq!(is_woken(target, &receiver).await.badge, SAID);
    }
    all_is_looked_at(&stack, &receiver).await;
    assert!(well.iter().all(|target| receiver.requests(target) == 1));
}

#[tokio::test]
async fn nobody_is_told_twice_after_a_restart_of_everything() {
    let data = tempfile::tempdir().unwrap();
    let receiver = PushReceiver::start().await.unwrap();
    let target = {
        let stack = stack(&receiver).data(data.path()).start().await.unwrap();
        let [alice, bob] = Person::several_on(&stack).await;
        let target = in_a_browser(&bob, &receiver).await;
        for n in 0..20 {
            writes(&alice, text(n.to_string(), &bob, "hello")).await;
        }
        is_woken(&target, &receiver).await;
        stack.stop().await;
        target
    };
    let stack = stack(&receiver).data(data.path()).start().await.unwrap();
    all_is_looked_at(&stack, &receiver).await;
    assert_eq!(receiver.requests(&target), 1);
}

#[tokio::test]
async fn a_killed_worker_costs_a_duplicate_at_most_and_nobody_is_forgotten() {
    const PEOPLE: usize = 40;
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).workers(2).start().await.unwrap();
    let [alice] = Person::several_on(&stack).await;
    let people: [Person; PEOPLE] = Person::several_on(&stack).await;
    let targets = join_all(people.iter().map(|person| in_a_browser(person, &receiver))).await;
    for (n, person) in people.iter().enumerate() {
        writes(&alice, text(person.user(), person, "hello")).await;
        if n == PEOPLE / 2 {
            // It has some of these in hand.
            stack.workers()[0].kill9().await;
        }
    }
    let woken = targets.iter().map(|target| is_woken_at_last(target, &receiver));
    assert!(join_all(woken).await.into_iter().all(|woken| woken), "somebody is forgotten");
    assert!(targets.iter().all(|target| receiver.requests(target) <= 2));
}

#[tokio::test]
async fn what_a_worker_had_pushed_when_it_was_killed_is_pushed_once_more() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).workers(1).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let target = in_a_browser(&bob, &receiver).await;
    // It has sent the push, and does not hear what became of it.
    receiver.answer(&target, [Answer::Silence]);
    writes(&alice, text("1", &bob, "hello")).await;
    assert!(receiver.requested(&target, 1).await);
    let worker = &stack.workers()[0];
    worker.kill9().await;
    assert_eq!(receiver.accepted(), 0);
    worker.restart().await.unwrap();

    assert!(is_woken_at_last(&target, &receiver).await, "it is forgotten");
    all_is_looked_at(&stack, &receiver).await;
    assert_eq!(receiver.requests(&target), 2);
}

/// Whether a push comes; what a dead worker had comes to another one after half
/// a minute.
async fn is_woken_at_last(target: &PushTarget, receiver: &PushReceiver) -> bool {
    for _ in 0..2 {
        if receiver.next(target).await.is_some() {
            return true;
        }
    }
    false
}
