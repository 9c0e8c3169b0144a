//! Delivered and Read: watermarks that clients can rely on.

use schemas::{Micros, UserId, server::Frame};
use serde_json::json;

use crate::people::{FIRST, Line, Person, SECOND, text};

const NONE: Micros = Micros(0);

/// Sends a message that is acknowledged at once; its `ts`, once the sender knows.
async fn delivered(from: &mut Line, to: &mut Line, message: serde_json::Value) -> Micros {
    let ts = from.sends(message).await;
    let item = to.gets().await;
    to.acks(item.seq).await;
    let receipt = from.gets_receipt().await;
    assert_eq!(receipt.delivered, ts);
    ts
}

#[tokio::test]
async fn only_newer_receipts_are_told_again_and_only_the_newest_of_each() {
    let [alice, bob, carol] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let (mut b, mut c) = (bob.connect(FIRST).await, carol.connect(SECOND).await);
    delivered(&mut a, &mut b, text("m1", &bob, "hi")).await;
    let second = a.sends(text("m2", &bob, "hi")).await;
    let item = b.gets().await;
    b.acks(item.seq).await;
    let of_bob = a.gets_receipt().await;
    assert_eq!(of_bob.delivered, second);
    a.sends(text("m3", &carol, "hi")).await;
    let item = c.gets().await;
    c.acks(item.seq).await;
    let of_carol = a.gets_receipt().await;
    assert!(of_carol.rev > of_bob.rev);
    a.hangs_up().await;

    for (after, expected) in [
        (0, vec![of_bob, of_carol]),
        (of_bob.rev - 1, vec![of_bob, of_carol]),
        (of_bob.rev, vec![of_carol]),
        (of_carol.rev, vec![]),
        (u64::MAX, vec![]),
    ] {
        let mut a = alice.hello_after(SECOND, after).await;
        assert_eq!(a.catches_up().await.receipts, expected, "after {after}");
        a.hangs_up().await;
    }
}

#[tokio::test]
async fn nothing_is_read_before_it_is_acknowledged() {
    let [alice, bob, carol] = Person::several().await;
    let (mut a, mut c) = (alice.connect(FIRST).await, carol.connect(FIRST).await);
    let mut b = bob.connect(SECOND).await;
    let of_carol = c.sends(text("m0", &bob, "first")).await;
    let first = b.gets().await;
    let ts = a.sends(text("m1", &bob, "second")).await;
    let second = b.gets().await;

    b.reads(&alice, ts).await;
    b.acks(first.seq).await;
    // What the gateway was told later has arrived, and so has the reading.
    assert_eq!(c.gets_receipt().await.delivered, of_carol);
    b.acks(second.seq).await;
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (ts, NONE));

    b.reads(&alice, ts).await;
    assert_eq!(a.gets_receipt().await.read, ts);
}

#[tokio::test]
async fn reading_is_clamped_to_what_was_acknowledged_and_never_goes_back() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let first = delivered(&mut a, &mut b, text("m1", &bob, "1")).await;
    let second = delivered(&mut a, &mut b, text("m2", &bob, "2")).await;
    let third = a.sends(text("m3", &bob, "3")).await;
    let unacked = b.gets().await;
    assert!(first < second && second < third);

    b.reads(&alice, first).await;
    assert_eq!(a.gets_receipt().await.read, first, "not all that was delivered");
    b.reads(&alice, Micros(i64::MAX)).await;
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (second, second));

    // Going back moves nothing: the next receipt is of the next step forward.
    b.reads(&alice, first).await;
    b.reads(&alice, Micros(-1)).await;
    b.acks(unacked.seq).await;
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (third, second));
}

#[tokio::test]
async fn an_ack_counts_for_a_read_right_behind_it() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    for n in 0..20 {
        let ts = a.sends(text(format!("m{n}"), &bob, "hi")).await;
        let item = b.gets().await;
        b.acks(item.seq).await;
        b.reads(&alice, ts).await;
        let mut receipt = a.gets_receipt().await;
        if receipt.read < ts {
            assert_eq!(receipt.delivered, ts);
            receipt = a.gets_receipt().await;
        }
        assert_eq!((receipt.delivered, receipt.read), (ts, ts));
    }
}

#[tokio::test]
async fn to_read_somebody_who_never_wrote_moves_nothing() {
    let [alice, bob, carol] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    b.reads(&alice, Micros(i64::MAX)).await;
    for (chat, sender) in
        [(UserId::mint(), UserId::mint()), (alice.user(), bob.user()), (bob.user(), alice.user())]
    {
        let marks = json!({sender.to_string(): i64::MAX});
        b.say(json!({"type": "read", "chat": chat, "marks": marks})).await;
    }
    b.say(json!({"type": "read", "chat": alice.user(), "marks": {}})).await;
    b.is_quiet().await;
    // Receipts of one gateway are handled in turn: after Carol's, all that is.
    delivered(&mut carol.connect(FIRST).await, &mut b, text("m1", &bob, "hi")).await;

    let ts = a.sends(text("m1", &bob, "hi")).await;
    let item = b.gets().await;
    b.acks(item.seq).await;
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (ts, NONE));
    b.is_quiet().await;
}

async fn hide_read(person: &Person) {
    let patch = json!({"settings": {"read_receipts": false}});
    let patch = serde_json::from_value(patch).unwrap();
    let me = person.account.patch_me(&patch).await.unwrap();
    assert!(!me.settings.read_receipts);
}

#[tokio::test]
async fn who_hides_reading_shows_it_to_nobody_and_sees_nobodys() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(SECOND).await;
    hide_read(&bob).await;
    let mut b = bob.connect(FIRST).await;

    let asked = a.sends(text("m1", &bob, "seen?")).await;
    let item = b.gets().await;
    b.acks(item.seq).await;
    b.reads(&alice, asked).await;
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (asked, NONE));

    let answered = b.sends(text("m1", &alice, "who knows")).await;
    let later = b.sends(text("m2", &alice, "or when")).await;
    let items = a.gets_all(2).await;
    a.acks(items[0].seq).await;
    let receipt = b.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (answered, NONE));
    a.reads(&bob, answered).await;
    a.acks(items[1].seq).await;
    loop {
        let receipt = b.gets_receipt().await;
        assert_eq!(receipt.read, NONE);
        if receipt.delivered == later {
            break;
        }
    }
    let asked = a.sends(text("m2", &bob, "?")).await;
    let item = b.gets().await;
    b.acks(item.seq).await;
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (asked, NONE));
    b.hangs_up().await;
    let mut b = bob.hello(SECOND).await;
    let receipts = b.catches_up().await.receipts;
    assert_eq!((receipts[0].delivered, receipts[0].read), (later, NONE));
}

#[tokio::test]
async fn the_choice_to_hide_reading_reaches_sessions_that_are_open() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    delivered(&mut a, &mut b, text("m0", &bob, "hi")).await;
    hide_read(&bob).await;
    // Said to Bob's sessions after the choice, and heard by them after it.
    a.types(bob.user(), true).await;
    assert!(matches!(b.hears().await, Frame::Typing { on: true, .. }));

    let ts = a.sends(text("m1", &bob, "seen?")).await;
    let item = b.gets().await;
    b.acks(item.seq).await;
    b.reads(&alice, ts).await;
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (ts, NONE));
    let next = delivered(&mut a, &mut b, text("m2", &bob, "?")).await;
    a.hangs_up().await;
    let mut a = alice.hello(SECOND).await;
    let receipts = a.catches_up().await.receipts;
    assert_eq!((receipts[0].delivered, receipts[0].read), (next, NONE));
}

#[tokio::test]
async fn reading_is_synced_to_ones_other_devices_and_not_echoed() {
    for hides in [false, true] {
        let [alice, bob] = Person::several().await;
        if hides {
            hide_read(&bob).await;
        }
        let desk = bob.link().await;
        let mut a = alice.connect(FIRST).await;
        let (mut phone, mut desk) = (bob.connect(FIRST).await, desk.connect(SECOND).await);
        let ts = a.sends(text("m1", &bob, "hi")).await;
        let item = phone.gets().await;
        desk.gets().await;
        phone.acks(item.seq).await;
        phone.reads(&alice, ts).await;

        let Frame::Read { items } = desk.hears().await else { panic!() };
        let [sync] = &items[..] else { panic!("{items:?}") };
        assert_eq!((sync.chat, &sync.marks), (alice.chat(), &[(alice.user(), ts)].into()));

        // Both hear what comes next; the one that read has heard nothing else.
        let answered = phone.sends(text("m1", &alice, "hi")).await;
        assert_eq!(desk.gets().await.from, bob.user(), "its own copy");
        let answer = loop {
            if let Frame::Messages { mut items } = a.hears().await {
                break items.remove(0);
            }
        };
        a.acks(answer.seq).await;
        for line in [&mut phone, &mut desk] {
            let receipt = line.gets_receipt().await;
            assert_eq!(receipt.delivered, answered);
            assert!(receipt.rev > sync.rev);
        }

        // And it comes to a device that was away.
        desk.hangs_up().await;
        phone.hangs_up().await;
        let tablet = bob.link().await;
        let backlog = tablet.hello(FIRST).await.catches_up().await;
        assert_eq!(backlog.reads, items);
    }
}

#[tokio::test]
async fn own_copies_move_no_watermark() {
    let [alice, bob] = Person::several().await;
    let desk = alice.link().await;
    let (mut phone, mut desk) = (alice.connect(FIRST).await, desk.connect(SECOND).await);
    let mut b = bob.connect(SECOND).await;
    let ts = phone.sends(text("m1", &bob, "hi")).await;
    let (copy, item) = (desk.gets().await, b.gets().await);
    desk.acks(copy.seq).await;
    desk.say(json!({"type": "read", "chat": bob.user(), "marks": {alice.user().to_string(): ts}}))
        .await;
    desk.is_quiet().await;
    b.acks(item.seq).await;
    for line in [&mut phone, &mut desk] {
        let receipt = line.gets_receipt().await;
        assert_eq!((receipt.user, receipt.delivered, receipt.read), (bob.user(), ts, NONE));
    }
    b.is_quiet().await;
}
