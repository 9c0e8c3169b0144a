//! Sends that are refused, and what that means for those behind them.

use std::time::Duration;

use dev::Stack;
use nats::Topology;
use schemas::{ErrorCode, GroupId, UserId, server::Frame};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    people::{FIRST, Line, PATIENCE, Person, ids, text, with},
    support,
};

#[tokio::test]
async fn to_nobody_is_not_found_and_holds_nothing_up() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let (user, group) = (UserId::mint(), GroupId::mint());
    for (n, chat) in [json!(user), json!(group)].iter().enumerate() {
        for id in [format!("a{n}"), format!("b{n}")] {
            let message = with(text(id, &bob, "hi"), "chat", chat);
            assert_eq!(a.is_refused(message).await, ErrorCode::NotFound, "{chat}");
        }
    }
    a.sends(text("m1", &bob, "hi")).await;
}

#[tokio::test]
async fn media_that_was_not_uploaded_is_not_found() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let body = json!({
        "kind": "media", "media": schemas::MediaId::mint(), "name": "cat.jpg",
        "mime": "image/jpeg", "size": 7,
    });
    let message = with(text("m1", &bob, ""), "body", body);
    assert_eq!(a.is_refused(message).await, ErrorCode::NotFound);
    a.sends(text("m2", &bob, "hi")).await;
}

/// Inboxes that hold three messages.
async fn small_inboxes() -> Stack {
    let topology = Topology { inbox_max_messages: 3, ..Topology::default() };
    support::stack().topology(topology).limits(false).start().await.unwrap()
}

#[tokio::test]
async fn a_full_inbox_holds_its_chat_until_the_refused_id_passes_or_is_dropped() {
    let stack = small_inboxes().await;
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let mut a = alice.connect(FIRST).await;
    for id in ["m1", "m2", "m3"] {
        a.sends(text(id, &bob, "hi")).await;
    }
    // Pipelined: those behind the refused one are refused alike.
    for id in ["m4", "m5"] {
        a.say(text(id, &bob, "hi")).await;
    }
    for id in ["m4", "m5"] {
        assert_eq!(a.hears_error().await, (ErrorCode::InboxFull, Some(id.into())));
    }
    a.sends(text("m4", &carol, "another chat is not held")).await;
    assert_eq!(a.is_refused(text("m1", &bob, "hi")).await, ErrorCode::InboxFull, "nor a retry");
    a.say(json!({"type": "drop", "id": "m5"})).await;
    assert_eq!(a.is_refused(text("m6", &bob, "hi")).await, ErrorCode::InboxFull);

    let items = bob.fetch(FIRST).await.items;
    assert_eq!(ids(&items), ["m1", "m2", "m3"]);
    assert_eq!(a.gets_receipt().await.delivered, items[2].ts);
    // There is room soon, but the chat waits for the id that was refused first.
    assert_eq!(a.is_refused(text("m5", &bob, "hi")).await, ErrorCode::InboxFull);
    sends_at_last(&mut a, text("m4", &bob, "hi")).await;
    a.sends(text("m5", &bob, "hi")).await;
    a.sends(text("m6", &bob, "hi")).await;

    assert_eq!(a.is_refused(text("m7", &bob, "hi")).await, ErrorCode::InboxFull);
    let items = bob.fetch(FIRST).await.items;
    assert_eq!(ids(&items), ["m4", "m5", "m6"]);
    assert_eq!(a.gets_receipt().await.delivered, items[2].ts);
    a.say(json!({"type": "drop", "id": "m7"})).await;
    sends_at_last(&mut a, text("m8", &bob, "hi")).await;
    assert_eq!(ids(&bob.fetch(FIRST).await.items), ["m8"]);
}

/// Sends until there is room: acknowledged messages are deleted a moment after
/// their tick.
async fn sends_at_last(line: &mut Line, message: serde_json::Value) {
    let begun = Instant::now();
    loop {
        line.say(message.clone()).await;
        match line.hears().await {
            Frame::Sent(_) => return,
            Frame::Error(error) if error.code == ErrorCode::InboxFull => {}
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < PATIENCE, "it stays full");
    }
}

#[tokio::test]
async fn a_reconnect_forgets_what_was_held() {
    let stack = small_inboxes().await;
    let [alice, bob] = Person::several_on(&stack).await;
    let mut a = alice.connect(FIRST).await;
    for id in ["m1", "m2", "m3"] {
        a.sends(text(id, &bob, "hi")).await;
    }
    assert_eq!(a.is_refused(text("m4", &bob, "hi")).await, ErrorCode::InboxFull);
    bob.fetch(FIRST).await;
    a.gets_receipt().await;
    a.hangs_up().await;
    let mut a = alice.hello(FIRST).await;
    a.catches_up().await;
    sends_at_last(&mut a, text("m5", &bob, "hi")).await;
}

#[tokio::test]
async fn a_device_that_fetches_nothing_fills_its_own_inbox_only() {
    let stack = small_inboxes().await;
    let [alice, bob] = Person::several_on(&stack).await;
    // Neither of these comes again.
    let (_, _) = (alice.link().await, bob.link().await);
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(FIRST).await);
    for n in 0..10 {
        let ts = a.sends(text(format!("m{n}"), &bob, "hi")).await;
        let item = b.gets().await;
        assert_eq!(item.ts, ts);
        b.acks(item.seq).await;
        // Once it has gone there is room for the next.
        a.gets_receipt().await;
        gone(&stack, &bob, item.seq).await;
    }
}

async fn gone(stack: &Stack, person: &Person, seq: u64) {
    let inboxes = nats::Inboxes::new(stack.bus().await.unwrap());
    let begun = Instant::now();
    while inboxes.get(person.user(), seq).await.unwrap().is_some() {
        assert!(begun.elapsed() < PATIENCE, "{seq} stays");
    }
}

#[tokio::test]
async fn who_sends_too_fast_is_told_how_long_to_wait() {
    let stack = support::stack().env("PETREL_USER_LIMIT_SENDS", "3,2/s").start().await.unwrap();
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let (mut a, mut c) = (alice.connect(FIRST).await, carol.connect(FIRST).await);
    for n in 1..=5 {
        a.say(text(format!("m{n}"), &bob, "hi")).await;
    }
    for n in 1..=3 {
        a.hears_sent(&text(format!("m{n}"), &bob, "hi")).await;
    }
    let Frame::Error(refused) = a.hears().await else { panic!() };
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert_eq!(refused.reference.as_deref(), Some("m4"));
    let wait = refused.retry_after_ms.unwrap();
    assert!((1..=500).contains(&wait), "{wait} ms");
    assert_eq!(a.hears_error().await, (ErrorCode::RateLimited, Some("m5".into())));
    // Each user has limits of their own.
    c.sends(text("m1", &bob, "hi")).await;

    // To wait as long as was said is enough.
    sleep(Duration::from_millis(wait)).await;
    assert_eq!(a.is_refused(text("m5", &bob, "hi")).await, ErrorCode::RateLimited, "held");
    a.sends(text("m4", &bob, "hi")).await;
    a.say(text("m5", &bob, "hi")).await;
    let Frame::Error(refused) = a.hears().await else { panic!() };
    sleep(Duration::from_millis(refused.retry_after_ms.unwrap())).await;
    a.sends(text("m5", &bob, "hi")).await;

    let items = bob.fetch(FIRST).await.items;
    let of_alice: Vec<_> = items.iter().filter(|item| item.from == alice.user()).cloned().collect();
    assert_eq!(ids(&of_alice), ["m1", "m2", "m3", "m4", "m5"]);
}
