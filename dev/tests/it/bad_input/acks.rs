//! Acknowledgements of what was never sent, and of what is somebody else's.

use schemas::CloseCode;
use serde_json::json;

use crate::people::{FIRST, Person, SECOND, ids, text};

#[tokio::test]
async fn an_ack_covers_what_was_sent_and_nothing_that_comes() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    for seq in [json!(u64::MAX), json!(1_u64 << 53), json!(1e30), json!(10_000_000)] {
        b.say(json!({"type": "ack", "seq": seq})).await;
    }
    b.is_quiet().await;
    let first = a.sends(text("m1", &bob, "hi")).await;
    b.gets().await;
    b.acks(u64::MAX).await;
    assert_eq!(a.gets_receipt().await.delivered, first, "clamped to what was sent");

    a.sends(text("m2", &bob, "hi")).await;
    b.gets().await;
    b.hangs_up().await;
    let items = bob.fetch(FIRST).await.items;
    assert_eq!(ids(&items)[items.len() - 1..], ["m2"]);
}

#[tokio::test]
async fn an_ack_that_goes_back_means_nothing() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let mut items = Vec::new();
    for id in ["m1", "m2", "m3"] {
        a.sends(text(id, &bob, "hi")).await;
        items.push(b.gets().await);
    }
    b.acks(items[1].seq).await;
    assert_eq!(a.gets_receipt().await.delivered, items[1].ts);
    for seq in [items[1].seq, items[0].seq, 1, 0] {
        b.acks(seq).await;
    }
    b.acks(items[2].seq).await;
    assert_eq!(a.gets_receipt().await.delivered, items[2].ts, "the next one is the next step");
}

#[tokio::test]
async fn an_ack_of_another_devices_seq_takes_nothing_from_it() {
    let [alice, bob] = Person::several().await;
    let desk = bob.link().await;
    let (mut a, mut phone) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let mut desk_line = desk.connect(FIRST).await;
    let ts = a.sends(text("m1", &bob, "hi")).await;
    let (of_phone, of_desk) = (phone.gets().await, desk_line.gets().await);
    assert_ne!(of_phone.seq, of_desk.seq, "they share a stream");

    // The later of the two covers the other one's number as well.
    let (later, earlier, waits) = if of_phone.seq > of_desk.seq {
        (&mut phone, &mut desk_line, &desk)
    } else {
        (&mut desk_line, &mut phone, &bob)
    };
    later.acks(of_phone.seq.max(of_desk.seq)).await;
    assert_eq!(a.gets_receipt().await.delivered, ts);
    // Nor does the earlier one's own number, from the other.
    later.acks(of_phone.seq.min(of_desk.seq)).await;
    later.is_quiet().await;
    let mut again = waits.hello(SECOND).await;
    earlier.is_closed(CloseCode::Replaced).await;
    assert_eq!(ids(&again.catches_up().await.items), ["m1"]);
}
