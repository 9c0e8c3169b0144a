//! Who is woken for a message, who is not, and how often.

mod faults;
mod targets;

use dev::{
    Stack, StackBuilder,
    client::Account,
    push_receiver::{Push, PushReceiver},
};
use reqwest::Method;
use schemas::PushTarget;
use serde_json::{Value, json};

use crate::{
    people::{FIRST, Person, text},
    support::{self, undisturbed, until, until_some},
};

/// A stack that wakes devices through this receiver.
fn stack(receiver: &PushReceiver) -> StackBuilder {
    let stack = support::stack().limits(false);
    receiver.settings().into_iter().fold(stack, |stack, (name, value)| stack.env(name, value))
}

/// The key that browsers subscribe with, as soon as a worker has told it.
async fn vapid(account: &Account) -> String {
    let told = async || account.api.vapid_key().await.unwrap();
    until_some(told, "a worker has told the key").await
}

/// Has this person's device woken as a browser is.
async fn in_a_browser(person: &Person, receiver: &PushReceiver) -> PushTarget {
    let target = receiver.browser(&vapid(&person.account).await);
    person.account.set_push(Some(&target)).await.unwrap();
    target
}

/// Says something over HTTP, so that no receipts have to be listened to.
async fn writes(person: &Person, message: Value) {
    let _: Value = person.account.post("v1/messages", Some(&message)).await.unwrap();
}

/// The next push for a target.
async fn is_woken(target: &PushTarget, receiver: &PushReceiver) -> Push {
    let push = receiver.next(target).await;
    push.unwrap_or_else(|| panic!("not woken: {:?}", receiver.complaints()))
}

/// All that was said before was looked at: a message that is said now, to
/// somebody who is to be woken, is told of. Whoever was to be woken before was.
async fn all_is_looked_at(stack: &Stack, receiver: &PushReceiver) {
    let [sender, canary] = Person::several_on(stack).await;
    let target = in_a_browser(&canary, receiver).await;
    writes(&sender, text("canary", &canary, "sing")).await;
    is_woken(&target, receiver).await;
}

/// Waits until presence has it that somebody left.
async fn is_gone(stack: &Stack, person: &Person) {
    let watcher = Person::on(stack).await;
    let mut line = watcher.connect(FIRST).await;
    line.watches(&[person]).await;
    let left = async || line.hears_presence().await.iter().any(|item| item.last_seen.is_some());
    until(left, format_args!("{} has left", person.name)).await;
}

#[tokio::test]
async fn who_is_away_is_woken_once_and_who_is_there_is_not() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).start().await.unwrap();
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let of_alice = in_a_browser(&alice, &receiver).await;
    let of_bob = in_a_browser(&bob, &receiver).await;
    let of_carol = in_a_browser(&carol, &receiver).await;
    let mut c = carol.connect(FIRST).await;
    writes(&alice, text("1", &carol, "hello")).await;
    let item = c.gets().await;
    c.acks(item.seq).await;
    writes(&alice, text("2", &bob, "hello")).await;

    let push = is_woken(&of_bob, &receiver).await;
    assert_eq!((push.badge, push.chat), (1, Some(alice.chat())));
    all_is_looked_at(&stack, &receiver).await;
    assert_eq!([&of_alice, &of_bob, &of_carol].map(|target| receiver.requests(target)), [0, 1, 0]);
}

#[tokio::test]
async fn every_provider_wakes_its_devices() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let (tablet, phone) = (bob.link().await, bob.link().await);
    let targets = [in_a_browser(&bob, &receiver).await, receiver.android(), receiver.iphone()];
    for (device, target) in [&tablet, &phone].into_iter().zip(&targets[1..]) {
        device.account.set_push(Some(target)).await.unwrap();
    }
    writes(&alice, text("1", &bob, "hello")).await;
    for target in &targets {
        assert_eq!(is_woken(target, &receiver).await.badge, 1);
    }
    assert_eq!(receiver.complaints(), [""; 0]);
}

#[tokio::test]
async fn a_burst_is_one_notification_and_a_chat_its_own() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).start().await.unwrap();
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let target = in_a_browser(&bob, &receiver).await;
    let mut a = alice.connect(FIRST).await;
    for n in 0..50 {
        a.say(text(n.to_string(), &bob, "hello")).await;
    }
    for _ in 0..50 {
        a.hears().await;
    }
    let of_alice = is_woken(&target, &receiver).await;
    all_is_looked_at(&stack, &receiver).await;
    assert_eq!(receiver.requests(&target), 1);
    writes(&carol, text("1", &bob, "hello")).await;
    let of_carol = is_woken(&target, &receiver).await;
    assert_ne!(of_alice.collapse, of_carol.collapse);
    assert_eq!(of_carol.badge, 51);

    // Who has come and taken all of it is told of the next one at once.
    bob.fetch(FIRST).await;
    is_gone(&stack, &bob).await;
    writes(&alice, text("50", &bob, "still there?")).await;
    let again = is_woken(&target, &receiver).await;
    assert_eq!((again.collapse, again.badge), (of_alice.collapse, 1));
}

#[tokio::test]
async fn who_seems_to_be_there_but_takes_nothing_is_woken_after_a_while() {
    undisturbed(async || {
        const SAID: usize = 20;
        let receiver = PushReceiver::start().await.unwrap();
        let stack = stack(&receiver).start().await.unwrap();
        let [alice, bob] = Person::several_on(&stack).await;
        let target = in_a_browser(&bob, &receiver).await;
        let mut b = bob.connect(FIRST).await;
        for n in 0..SAID {
            writes(&alice, text(n.to_string(), &bob, "hello")).await;
        }
        // They were sent, and nobody acknowledges them.
        b.gets_all(SAID).await;
        all_is_looked_at(&stack, &receiver).await;
        assert_eq!(receiver.requests(&target), 0);
        is_woken(&target, &receiver).await;
        all_is_looked_at(&stack, &receiver).await;
        assert_eq!(receiver.requests(&target), 1);
        b.is_quiet().await;
    })
    .await;
}

#[tokio::test]
async fn what_one_writes_and_what_changes_in_a_group_wakes_nobody() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let tablet = alice.link().await;
    let of_bob = in_a_browser(&bob, &receiver).await;
    let of_tablet = in_a_browser(&tablet, &receiver).await;
    let group = json!({"name": "Crew", "members": [bob.user()]});
    let group: Value = alice.account.post("v1/groups", Some(&group)).await.unwrap();
    // That one was taken into a group is worth it.
    is_woken(&of_bob, &receiver).await;
    bob.fetch(FIRST).await;
    is_gone(&stack, &bob).await;

    let path = format!("v1/groups/{}", group["id"].as_str().unwrap());
    let Account { api, session } = &alice.account;
    let (token, name) = (Some(&*session.access_token), json!({"name": "Ship"}));
    api.call::<Value>(Method::PATCH, &path, token, Some(&name)).await.unwrap();
    writes(&alice, text("1", &alice, "a note to self")).await;
    all_is_looked_at(&stack, &receiver).await;
    assert_eq!((receiver.requests(&of_bob), receiver.requests(&of_tablet)), (1, 0));
}

#[tokio::test]
async fn who_is_not_to_be_woken_is_not() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).start().await.unwrap();
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let of_bob = in_a_browser(&bob, &receiver).await;
    let of_carol = in_a_browser(&carol, &receiver).await;
    bob.account.set_push(None).await.unwrap();
    carol.account.block(alice.user()).await.unwrap();
    for person in [&bob, &carol] {
        writes(&alice, text(person.user(), person, "hello")).await;
    }
    all_is_looked_at(&stack, &receiver).await;
    assert_eq!((receiver.requests(&of_bob), receiver.requests(&of_carol)), (0, 0));
}
