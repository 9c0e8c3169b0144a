//! Who is blocked does not notice, and does not get through.

use dev::client::Account;
use schemas::{ErrorCode, Micros, server::Frame};

use crate::people::{FIRST, Line, Person, SECOND, ids, text, with};

/// Hears that somebody types.
async fn hears_typing(line: &mut Line, from: &Person, typing: bool) {
    let told = Frame::Typing { chat: from.chat(), from: from.user(), on: typing };
    assert_eq!(line.hears().await, told);
}

/// Blocks somebody through the first gateway; the second knows before it is answered.
async fn block(by: &Person, whom: &Person) {
    by.at(FIRST).block(whom.user()).await.unwrap();
}

#[tokio::test]
async fn a_blocked_sender_sees_an_ordinary_sent_and_nothing_is_delivered() {
    for gateway in [FIRST, SECOND] {
        let [alice, bob, carol] = Person::several().await;
        let mut b = bob.connect(SECOND).await;
        let desk = alice.link().await;
        let (mut a, mut desk) = (alice.connect(gateway).await, desk.connect(FIRST).await);
        let before = a.sends(text("m0", &bob, "before")).await;
        assert_eq!(b.gets().await.ts, before);
        desk.gets().await;
        block(&bob, &alice).await;

        let at = Micros::now();
        let message = with(text("m1", &bob, "hello?"), "at", at);
        assert_eq!(a.sends(message.clone()).await, at);
        assert_eq!(a.sends(message).await, at, "a retry");
        assert_eq!(desk.gets().await.ts, at, "an own copy, as always");

        // It is not only late: what is stored after it comes first.
        let mut c = carol.connect(gateway).await;
        c.sends(text("m2", &bob, "hi")).await;
        assert_eq!(b.gets().await.from, carol.user());
        b.hangs_up().await;
        assert_eq!(ids(&bob.fetch(FIRST).await.items), ["m0", "m2"]);
        // The tick of what came before the block turns, and no other.
        assert_eq!(a.gets_receipt().await.delivered, before);
    }
}

#[tokio::test]
async fn a_block_that_was_answered_is_in_force_at_every_gateway_and_so_is_its_end() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(SECOND).await, bob.connect(FIRST).await);
    for round in 0..30 {
        // The second gateway remembers each time how it was before.
        block(&bob, &alice).await;
        a.sends(text(format!("blocked-{round}"), &bob, "hello?")).await;
        bob.at(FIRST).unblock(alice.user()).await.unwrap();
        let heard = format!("heard-{round}");
        a.sends(text(&heard, &bob, "hello")).await;
        assert_eq!(b.gets().await.id.as_str(), heard);
    }
}

#[tokio::test]
async fn who_blocked_is_told_so_when_sending() {
    let [alice, bob, carol] = Person::several().await;
    let (mut a, mut b) = (alice.connect(SECOND).await, bob.connect(FIRST).await);
    block(&alice, &bob).await;
    assert_eq!(a.is_refused(text("m1", &bob, "hi")).await, ErrorCode::Blocked);
    // It fails that send and no other, there or elsewhere.
    assert_eq!(a.is_refused(text("m2", &bob, "hi")).await, ErrorCode::Blocked);
    a.sends(text("m3", &carol, "hi")).await;

    alice.at(SECOND).unblock(bob.user()).await.unwrap();
    a.sends(text("m2", &bob, "hi")).await;
    assert_eq!(b.gets().await.id.as_str(), "m2");
}

#[tokio::test]
async fn blocking_each_other_is_told_to_both() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(FIRST).await);
    block(&alice, &bob).await;
    block(&bob, &alice).await;
    assert_eq!(a.is_refused(text("m1", &bob, "hi")).await, ErrorCode::Blocked);
    assert_eq!(b.is_refused(text("m1", &alice, "hi")).await, ErrorCode::Blocked);
}

#[tokio::test]
async fn what_was_sent_while_blocked_does_not_come_later() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let account: Account = bob.at(FIRST);
    account.block(alice.user()).await.unwrap();
    a.sends(text("m1", &bob, "hello?")).await;
    account.unblock(alice.user()).await.unwrap();
    a.sends(text("m2", &bob, "hello!")).await;
    let item = b.gets().await;
    assert_eq!(item.id.as_str(), "m2");
}

#[tokio::test]
async fn typing_is_told_between_friends_only() {
    let [alice, bob, carol] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let mut c = carol.connect(FIRST).await;
    for on in [true, false] {
        a.types(bob.user(), on).await;
        hears_typing(&mut b, &alice, on).await;
        b.types(alice.user(), on).await;
        hears_typing(&mut a, &bob, on).await;
    }

    block(&bob, &alice).await;
    a.types(bob.user(), true).await;
    b.types(alice.user(), true).await;
    // Both would have been told by now.
    for (line, other) in [(&mut a, &alice), (&mut b, &bob)] {
        c.types(other.user(), true).await;
        hears_typing(line, &carol, true).await;
    }
    // To oneself, to nobody and to a group it says nothing.
    a.types(alice.user(), true).await;
    a.types(schemas::UserId::mint(), true).await;
    a.types(schemas::GroupId::mint(), true).await;
    a.is_quiet().await;
}
