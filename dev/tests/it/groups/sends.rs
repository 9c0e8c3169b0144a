//! Messages to groups.

use nats::{Inboxes, Topology, subject::Shards};
use schemas::Micros;
use serde_json::json;

use super::{Club, emptied, line, sends};
use crate::{
    people::{FIRST, Person, SECOND, ids, with},
    support,
};

#[tokio::test]
async fn every_device_of_every_member_gets_it_and_so_do_the_senders_others() {
    let [alice, bob, carol] = Person::several().await;
    let (desk, tablet) = (alice.link().await, bob.link().await);
    let club = Club::of(&[&alice, &bob, &carol]).await;
    let mut a = line(&alice, FIRST).await;
    let mut lines = Vec::new();
    for (n, device) in [&desk, &bob, &tablet, &carol].into_iter().enumerate() {
        lines.push(line(device, n % 2).await);
    }
    let body = json!({"kind": "text", "text": "h\u{e9}", "later": [1.5, null]});
    let ts = a.sends(with(club.text("m1"), "body", &body)).await;
    for line in &mut lines {
        let item = line.gets().await;
        assert_eq!((item.chat, item.from, item.ts), (club.chat(), alice.user(), ts));
        assert_eq!((item.id.as_str(), json!(item.body)), ("m1", body.clone()));
    }
    a.is_quiet().await;
}

#[tokio::test]
async fn what_one_device_sends_to_a_group_arrives_in_order() {
    const MESSAGES: usize = 50;
    let [alice, bob, carol] = Person::several().await;
    let club = Club::of(&[&alice, &bob, &carol]).await;
    let mut a = line(&alice, FIRST).await;
    let names: Vec<String> = (0..MESSAGES).map(|n| format!("m{n}")).collect();
    for name in &names {
        a.say(club.text(name)).await;
    }
    let mut last = Micros(0);
    for name in &names {
        let ts = a.hears_sent(&club.text(name)).await;
        assert!(ts > last);
        last = ts;
    }
    for person in [&bob, &carol] {
        assert_eq!(ids(&person.fetch(SECOND).await.items)[1..], names);
    }
}

#[tokio::test]
async fn blocks_do_not_divide_a_group() {
    let [alice, bob] = Person::several().await;
    alice.account.block(bob.user()).await.unwrap();
    let club = Club::of(&[&alice, &bob]).await;
    let (mut a, mut b) = (line(&alice, FIRST).await, line(&bob, SECOND).await);
    a.sends(club.text("m1")).await;
    assert_eq!(b.gets().await.id.as_str(), "m1");
    b.sends(club.text("m2")).await;
    assert_eq!(a.gets().await.id.as_str(), "m2");
}

#[tokio::test]
async fn a_retry_through_the_other_gateway_stores_nothing_new() {
    let [alice, bob, carol] = Person::several().await;
    let club = Club::of(&[&alice, &bob, &carol]).await;
    let mut c = line(&carol, FIRST).await;
    let mut a = line(&alice, FIRST).await;
    let (timed, untimed) = (with(club.text("m1"), "at", Micros::now()), club.text("m2"));
    let sent = [a.sends(timed.clone()).await, a.sends(untimed.clone()).await];
    let item = c.gets_all(2).await.remove(1);
    c.acks(item.seq).await;
    // The tick says that nothing is left of them in one of the inboxes.
    assert_eq!(a.gets_receipt().await.delivered, sent[1]);
    a.hangs_up().await;

    let mut a = line(&alice, SECOND).await;
    assert_eq!([a.sends(timed).await, a.sends(untimed).await], sent);
    assert_eq!(ids(&bob.fetch(SECOND).await.items)[1..], ["m1", "m2"]);
    c.is_quiet().await;
}

/// One shard and inboxes that hold three messages.
fn small() -> Topology {
    let shards = Shards::new(1).unwrap();
    Topology { inbox_max_messages: 3, shards, ..Topology::default() }
}

#[tokio::test]
async fn full_inboxes_are_named_and_a_retry_fills_what_was_missing() {
    let stack = support::stack().gateways(2).limits(false).topology(small()).start().await.unwrap();
    let inboxes = Inboxes::new(stack.bus().await.unwrap());
    let [alice, bob, carol, dave] = Person::several_on(&stack).await;
    let carols_desk = carol.link().await;
    let club = Club::of(&[&alice, &bob, &carol, &dave]).await;
    let mut a = line(&alice, FIRST).await;
    let mut b = line(&bob, SECOND).await;
    // The creation and two more fill all inboxes that nobody empties.
    for id in ["m1", "m2"] {
        sends(&mut a, club.text(id)).await;
        let item = b.gets().await;
        b.acks(item.seq).await;
    }
    carols_desk.fetch(FIRST).await;
    emptied(&inboxes, &carols_desk).await;
    emptied(&inboxes, &bob).await;

    // One device of Carol's has room, so that she is reached.
    let message = with(club.text("m3"), "at", Micros::now());
    let sent = sends(&mut a, message.clone()).await;
    assert_eq!(sent.full, [dave.user()], "and it is Sent for the others");
    assert_eq!(ids(&carols_desk.fetch(SECOND).await.items), ["m3"]);
    assert_eq!(b.gets().await.id.as_str(), "m3");

    assert_eq!(ids(&dave.fetch(FIRST).await.items)[1..], ["m1", "m2"]);
    emptied(&inboxes, &dave).await;
    a.hangs_up().await;
    let mut a = line(&alice, SECOND).await;
    let retried = sends(&mut a, message).await;
    assert_eq!((retried.ts, retried.full), (sent.ts, vec![]));
    assert_eq!(ids(&dave.fetch(SECOND).await.items), ["m3"], "what was missing");
    b.is_quiet().await;
}
