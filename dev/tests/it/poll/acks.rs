//! What an acknowledgement covers, and what becomes of it.

use nats::subject;
use schemas::{ErrorCode, Micros};
use serde_json::{Value, json};

use super::{LONG, acks, code, polls, reads, sends};
use crate::{
    people::{FIRST, Person, SECOND, ids, text},
    support::{self, until, until_some},
};

#[tokio::test]
async fn an_ack_covers_what_lies_there_and_nothing_that_comes_later() {
    let [alice, bob] = Person::several().await;
    let (here, there) = (bob.at(FIRST), bob.at(SECOND));
    let send = async |id: &str| sends(&alice.at(FIRST), text(id, &bob, "hi")).await.unwrap();
    for id in ["m1", "m2", "m3", "m4"] {
        send(id).await;
    }
    let items = polls(&here, LONG).await.unwrap();
    // Of nothing, of some, of the same again, and of what was before it.
    for (seq, left) in [
        (0, &["m1", "m2", "m3", "m4"][..]),
        (items[1].seq, &["m3", "m4"]),
        (items[1].seq, &["m3", "m4"]),
        (items[0].seq, &["m3", "m4"]),
        (items[3].seq - 1, &["m4"]),
        (u64::MAX, &[]),
        (u64::MAX, &[]),
    ] {
        acks(&there, seq).await.unwrap();
        assert_eq!(ids(&polls(&here, 0).await.unwrap()), left, "{seq}");
    }
    send("m5").await;
    assert_eq!(ids(&polls(&there, LONG).await.unwrap()), ["m5"]);
}

#[tokio::test]
async fn an_ack_is_a_devices_own() {
    let [alice, bob] = Person::several().await;
    let desk = bob.link().await;
    sends(&alice.at(FIRST), text("m1", &bob, "hi")).await.unwrap();
    let seqs =
        [&bob, &desk].map(async |device| polls(&device.at(FIRST), LONG).await.unwrap()[0].seq);
    let [bobs, desks] = seqs;
    let (bobs, desks) = (bobs.await, desks.await);
    acks(&bob.at(SECOND), bobs.max(desks)).await.unwrap();
    assert_eq!(polls(&bob.at(FIRST), 0).await.unwrap(), []);
    assert_eq!(ids(&polls(&desk.at(FIRST), 0).await.unwrap()), ["m1"]);
}

#[tokio::test]
async fn a_long_backlog_is_acknowledged_in_one_call() {
    const MESSAGES: usize = 700;
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let words = "x".repeat(1_000);
    let mut last = Micros(0);
    for n in 0..MESSAGES {
        last = a.sends(text(format!("m{n}"), &bob, &words)).await;
    }
    // The whole inbox, however many pages of it.
    acks(&bob.at(SECOND), u64::MAX).await.unwrap();
    loop {
        // One of them for each page.
        let receipt = a.gets_receipt().await;
        assert_eq!((receipt.user, receipt.read), (bob.user(), Micros(0)));
        if receipt.delivered == last {
            break;
        }
    }
    // The answer waits for that, but not for a worker that is late.
    let all_gone = async || polls(&bob.at(FIRST), 0).await.unwrap().is_empty();
    until(all_gone, "what was acknowledged is gone").await;
    // What is delivered may be read, by whatever gateway.
    reads(&bob.at(FIRST), alice.chat(), &alice, last).await.unwrap();
    assert_eq!(a.gets_receipt().await.read, last);
}

#[tokio::test]
async fn a_mark_reaches_as_far_as_the_acknowledgements() {
    let [alice, bob, carol] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let (first, second) =
        (a.sends(text("m1", &bob, "hi")).await, a.sends(text("m2", &bob, "hi")).await);
    let items = polls(&bob.at(FIRST), LONG).await.unwrap();
    // Nothing is acknowledged yet: nothing is read, whatever is said of it.
    reads(&bob.at(FIRST), alice.chat(), &alice, second).await.unwrap();
    workers_have_done_so_far().await;
    acks(&bob.at(FIRST), items[0].seq).await.unwrap();
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (first, Micros(0)));
    reads(&bob.at(SECOND), alice.chat(), &alice, second).await.unwrap();
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (first, first));
    acks(&bob.at(SECOND), items[1].seq).await.unwrap();
    assert_eq!(a.gets_receipt().await.delivered, second);
    // A mark about somebody else in this chat says nothing.
    reads(&bob.at(SECOND), alice.chat(), &carol, second).await.unwrap();
    reads(&bob.at(SECOND), alice.chat(), &alice, second).await.unwrap();
    assert_eq!(a.gets_receipt().await.read, second);
    a.is_quiet().await;
}

/// Waits until the workers have done all that they have been told by now.
async fn workers_have_done_so_far() {
    let bus = support::shared_stack().await.bus().await.unwrap();
    let stream = async || bus.jetstream.get_stream(subject::RECEIPTS_STREAM).await.ok();
    let stream = until_some(stream, "there is a stream of receipts").await;
    let told = stream.cached_info().state.last_sequence;
    let done = async || {
        let consumer = stream.consumer_info(subject::RECEIPTS_CONSUMER).await;
        consumer.is_ok_and(|consumer| consumer.ack_floor.stream_sequence >= told)
    };
    until(done, "what the workers were told of is done").await;
}

/// One worker has the acknowledgement and the other one the mark.
#[tokio::test]
async fn no_mark_overtakes_the_acknowledgement_that_was_answered_before_it() {
    let stack = support::stack().gateways(2).workers(2).limits(false).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let mut a = alice.connect(FIRST).await;
    let (here, there) = (bob.at(FIRST), bob.at(SECOND));
    for n in 0..100 {
        let ts = a.sends(text(format!("m{n}"), &bob, "hi")).await;
        let items = polls(&here, LONG).await.unwrap();
        assert_eq!(items.len(), 1);
        acks(&here, items[0].seq).await.unwrap();
        reads(&there, alice.chat(), &alice, ts).await.unwrap();
        while a.gets_receipt().await.read < ts {}
    }
}

#[tokio::test]
async fn who_shows_no_reading_shows_none_here_either() {
    let [alice, bob] = Person::several().await;
    let patch = json!({"settings": {"read_receipts": false}});
    let token = Some(bob.account.token());
    let patched =
        bob.account.api.call::<Value>(reqwest::Method::PATCH, "v1/me", token, Some(&patch));
    patched.await.unwrap();
    let mut b = bob.link().await.connect(FIRST).await;
    let mut a = alice.connect(FIRST).await;
    let ts = a.sends(text("m1", &bob, "hi")).await;
    b.gets().await;
    let items = polls(&bob.at(FIRST), LONG).await.unwrap();
    acks(&bob.at(FIRST), items[0].seq).await.unwrap();
    assert_eq!(a.gets_receipt().await.delivered, ts);
    reads(&bob.at(SECOND), alice.chat(), &alice, ts).await.unwrap();
    // One's own other devices know.
    let told = b.hears_changes(1).await;
    assert_eq!(told.reads[0].marks.get(&alice.user()), Some(&ts));
    a.is_quiet().await;
}

#[tokio::test]
async fn without_a_worker_acks_are_kept_for_the_next_one() {
    let stack = support::stack().gateways(2).limits(false).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let mut a = alice.connect(FIRST).await;
    let worker = &stack.workers()[0];
    worker.kill9().await;
    let ts = a.sends(text("m1", &bob, "hi")).await;
    let items = polls(&bob.at(SECOND), LONG).await.unwrap();
    acks(&bob.at(SECOND), items[0].seq).await.unwrap();
    reads(&bob.at(FIRST), alice.chat(), &alice, ts).await.unwrap();
    a.is_quiet().await;
    worker.restart().await.unwrap();
    let receipt = a.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (ts, ts));
}

#[tokio::test]
async fn without_nats_nothing_is_answered_as_done() {
    let stack = support::stack().limits(false).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let account = bob.at(FIRST);
    sends(&alice.at(FIRST), text("m1", &bob, "hi")).await.unwrap();
    let seq = polls(&account, LONG).await.unwrap()[0].seq;
    let node = &stack.nats().nodes()[0];
    node.kill9().await;
    let (polled, acked) = tokio::join!(polls(&account, 0), acks(&account, seq));
    assert_eq!(code(polled), ErrorCode::Unavailable);
    assert_eq!(code(acked), ErrorCode::Unavailable);
    node.restart().await.unwrap();
    // The message is in the inbox still, unless its worker heard of the ack.
    let items = loop {
        match polls(&account, 0).await {
            Ok(items) => break items,
            Err(error) => assert_eq!(error.code(), Some(ErrorCode::Unavailable), "{error}"),
        }
    };
    assert_eq!(ids(&items), ["m1"]);
    while let Err(error) = acks(&account, seq).await {
        assert_eq!(error.code(), Some(ErrorCode::Unavailable), "{error}");
    }
    assert_eq!(polls(&account, 0).await.unwrap(), []);
}
