//! Delivered is not kept: after the acknowledgement a message is in no stream.

use async_nats::jetstream::{self, stream::LastRawMessageErrorKind};
use dev::Stack;
use futures_util::TryStreamExt as _;
use nats::subject;
use tokio::time::Instant;

use crate::{
    people::{FIRST, PATIENCE, Person, ids, text},
    support,
};

/// Everything that lies in any stream of this stack, by the stream's name.
async fn everything(jetstream: &jetstream::Context) -> Vec<(String, Vec<u8>)> {
    let mut everything = Vec::new();
    let names: Vec<String> = jetstream.stream_names().try_collect().await.unwrap();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let stream = jetstream.get_stream(&name).await.unwrap();
        let mut next = 1;
        loop {
            match stream.get_first_raw_message_by_subject(">", next).await {
                Ok(message) => {
                    next = message.sequence + 1;
                    let mut bytes = message.subject.as_bytes().to_vec();
                    bytes.extend_from_slice(&message.payload);
                    everything.push((name.clone(), bytes));
                }
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => break,
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
    everything
}

/// Where these words lie.
async fn places(jetstream: &jetstream::Context, words: &str) -> Vec<String> {
    let all = everything(jetstream).await.into_iter();
    let there = |bytes: &[u8]| bytes.windows(words.len()).any(|part| part == words.as_bytes());
    all.filter(|(_, bytes)| there(bytes)).map(|(stream, _)| stream).collect()
}

/// Waits until all inboxes are empty.
async fn emptied(stack: &Stack) {
    let bus = stack.bus().await.unwrap();
    let begun = Instant::now();
    for shard in bus.shards.all() {
        let mut stream = bus.jetstream.get_stream(subject::inbox_stream(shard)).await.unwrap();
        while stream.info().await.unwrap().state.messages > 0 {
            assert!(begun.elapsed() < PATIENCE, "INBOX_{shard} is never emptied");
        }
    }
}

#[tokio::test]
async fn an_acknowledged_body_is_in_no_stream() {
    const WORDS: &str = "the treasure is under the old oak";
    let stack = support::stack().limits(false).start().await.unwrap();
    let jetstream = stack.bus().await.unwrap().jetstream;
    let [alice, bob] = Person::several_on(&stack).await;
    let desk = alice.link().await;
    let mut a = alice.connect(FIRST).await;
    let ts = a.sends(text("m1", &bob, WORDS)).await;

    let shards = stack.bus().await.unwrap().shards;
    let mut expected = [&alice, &bob].map(|owner| subject::inbox_stream(shards.of(owner.user())));
    expected.sort();
    let mut found = places(&jetstream, WORDS).await;
    found.sort();
    assert_eq!(found, expected, "one copy for Bob and one for Alice's other device");

    // To be sent it is not to have stored it.
    let mut b = bob.hello(FIRST).await;
    let items = b.catches_up().await.items;
    assert_eq!(ids(&items), ["m1"]);
    assert_eq!(places(&jetstream, WORDS).await.len(), 2);

    b.acks(items[0].seq).await;
    assert_eq!(a.gets_receipt().await.delivered, ts);
    b.reads(&alice, ts).await;
    assert_eq!(a.gets_receipt().await.read, ts);
    assert_eq!(desk.fetch(FIRST).await.items[0].ts, ts);
    emptied(&stack).await;
    assert_eq!(places(&jetstream, WORDS).await, Vec::<String>::new());

    // Nor does any API give it out: what comes next is all there is.
    drop(b);
    assert!(bob.fetch(FIRST).await.items.is_empty());
    assert!(desk.fetch(FIRST).await.items.is_empty());
}
