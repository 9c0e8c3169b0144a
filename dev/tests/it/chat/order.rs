//! One order in a chat, for everybody, without a sequencer.

use std::collections::BTreeMap;

use schemas::{Micros, UserId};

use crate::people::{FIRST, Person, SECOND, ids, text, with};

const SECOND_MICROS: i64 = 1_000_000;

fn now() -> i64 {
    Micros::now().0
}

fn is_about_now(ts: Micros) -> bool {
    (ts.0 - now()).abs() < 10 * SECOND_MICROS
}

#[tokio::test]
async fn a_time_within_bounds_counts_as_it_is() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let mut sent = Vec::new();
    for (n, at) in
        [now() - 290 * SECOND_MICROS, now(), now() + SECOND_MICROS, now() - 7].iter().enumerate()
    {
        let ts = a.sends(with(text(format!("m{n}"), &bob, "hi"), "at", at)).await;
        assert_eq!(ts, Micros(*at), "also behind an earlier one");
        sent.push(ts);
    }
    let items = bob.fetch(SECOND).await.items;
    assert_eq!(items.iter().map(|item| item.ts).collect::<Vec<_>>(), sent);
    assert!(items.iter().all(|item| item.after.is_none()));
}

#[tokio::test]
async fn the_clock_stands_in_for_a_time_out_of_bounds() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let mut last = Micros(0);
    for (n, at) in [now() - 310 * SECOND_MICROS, now() + 20 * SECOND_MICROS, i64::MIN, i64::MAX, 0]
        .iter()
        .enumerate()
    {
        let ts = a.sends(with(text(format!("m{n}"), &bob, "hi"), "at", at)).await;
        assert!(is_about_now(ts), "{ts:?} for {at}");
        assert!(ts > last, "a connection's own keep rising");
        last = ts;
    }
}

#[tokio::test]
async fn a_reply_sorts_after_what_it_replies_to() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    // Alice's clock is a second ahead, Bob's two minutes behind.
    let asked = a.sends(with(text("m1", &bob, "?"), "at", now() + SECOND_MICROS)).await;
    assert_eq!(b.gets().await.ts, asked);
    let behind = with(text("m1", &alice, "!"), "at", now() - 120 * SECOND_MICROS);
    let answered = b.sends(with(behind.clone(), "after", asked)).await;
    assert_eq!(answered, Micros(asked.0 + 1));
    let item = a.gets().await;
    assert_eq!((item.ts, item.after), (answered, Some(asked)));

    // Having seen something older does not hold anything back.
    let at = now();
    let later = with(with(text("m2", &alice, "!"), "at", at), "after", at - 5);
    assert_eq!(b.sends(later).await, Micros(at));
}

#[tokio::test]
async fn what_was_seen_in_the_future_moves_nobody_far() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let before = now();
    let far = with(text("m1", &bob, "hi"), "after", now() + 3600 * SECOND_MICROS);
    let ts = a.sends(far).await.0;
    // Two seconds ahead of the gateway's clock, and one microsecond more.
    assert!((before + 2 * SECOND_MICROS + 1..=now() + 2 * SECOND_MICROS + 1).contains(&ts));
    for (id, after) in [("m2", i64::MAX), ("m3", i64::MIN), ("m4", -1)] {
        let ts = a.sends(with(text(id, &bob, "hi"), "after", after)).await;
        assert!(is_about_now(ts), "{ts:?} after {after}");
    }
}

#[tokio::test]
async fn without_a_time_a_connections_messages_keep_rising() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let messages: Vec<_> = (0..50).map(|n| text(format!("m{n}"), &bob, "hi")).collect();
    for message in &messages {
        a.say(message.clone()).await;
    }
    let mut last = Micros(0);
    for message in &messages {
        let ts = a.hears_sent(message).await;
        assert!(ts > last && is_about_now(ts), "{ts:?} after {last:?}");
        last = ts;
    }
}

#[tokio::test]
async fn a_retry_within_the_window_is_the_same_message() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let timed = with(text("timed", &bob, "hi"), "at", now() - 60 * SECOND_MICROS);
    let untimed = text("untimed", &bob, "hi");
    let sent = [a.sends(timed.clone()).await, a.sends(untimed.clone()).await];
    // Again on this connection, and while the first copies lie there.
    assert_eq!([a.sends(timed.clone()).await, a.sends(untimed.clone()).await], sent);
    a.hangs_up().await;
    let mut a = alice.connect(SECOND).await;
    assert_eq!([a.sends(timed.clone()).await, a.sends(untimed.clone()).await], sent);
    a.sends(text("next", &bob, "hi")).await;

    let items = bob.fetch(FIRST).await.items;
    assert_eq!(ids(&items), ["timed", "untimed", "next"]);
    assert_eq!([items[0].ts, items[1].ts], sent);
}

#[tokio::test]
async fn a_retry_after_delivery_stores_nothing_and_has_the_same_time() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let mut b = bob.connect(SECOND).await;
    let message = with(text("m1", &bob, "hi"), "at", now() - 60 * SECOND_MICROS);
    let sent = a.sends(message.clone()).await;
    let item = b.gets().await;
    b.acks(item.seq).await;
    assert_eq!(a.gets_receipt().await.delivered, sent);
    a.hangs_up().await;

    let mut a = alice.hello(SECOND).await;
    a.catches_up().await;
    assert_eq!(a.sends(message.clone()).await, sent);
    a.sends(text("m2", &bob, "hi")).await;
    assert_eq!(b.gets().await.id.as_str(), "m2");
}

#[tokio::test]
async fn messages_of_one_device_to_one_chat_arrive_in_the_order_it_sent_them() {
    const EACH: usize = 60;
    let [alice, bob, carol, dave] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let peers = [&bob, &carol, &dave];
    // More than a connection may have waiting, so that it is held up now and then.
    for n in 0..EACH {
        for peer in peers {
            a.say(text(format!("m{n}"), peer, "hi")).await;
        }
    }
    let mut sent = BTreeMap::<_, Vec<_>>::new();
    for _ in 0..peers.len() * EACH {
        let schemas::server::Frame::Sent(answer) = a.hears().await else { panic!() };
        sent.entry(answer.chat).or_default().push(answer.id.to_string());
    }
    let expected: Vec<_> = (0..EACH).map(|n| format!("m{n}")).collect();
    for peer in peers {
        assert_eq!(sent[&peer.chat()], expected);
        assert_eq!(ids(&peer.fetch(SECOND).await.items), expected);
    }
}

#[tokio::test]
async fn an_id_is_its_senders_own() {
    let [alice, bob, carol] = Person::several().await;
    let (mut a, mut c) = (alice.connect(FIRST).await, carol.connect(SECOND).await);
    a.sends(text("same", &bob, "from alice")).await;
    c.sends(text("same", &bob, "from carol")).await;
    let items = bob.fetch(FIRST).await.items;
    let froms: BTreeMap<UserId, &str> =
        items.iter().map(|item| (item.from, item.id.as_str())).collect();
    assert_eq!(froms, BTreeMap::from([(alice.user(), "same"), (carol.user(), "same")]));
}
