//! A reader that stops reading costs only itself: while it does not read, its
//! gateway holds a window of messages and no more.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use schemas::{UserId, server::Frame};

use crate::{
    people::{FIRST, Line, Person, SECOND, text},
    support,
};

/// How many arrive while nobody reads.
const MESSAGES: usize = 50_000;
/// How many people write them.
const SENDERS: usize = 25;
/// How many of them are as long as they may be: more than the sockets' buffers
/// take, so that the gateway cannot write on.
const LONG: usize = 500;
/// How many bytes the others have.
const SHORT_BODY: usize = 1024;
/// Much less than the messages have together, and much more than a window.
const HELD_KIB: u64 = 16 * 1024;

async fn send_all(sender: &Person, reader: &Person, lengths: impl Iterator<Item = usize>) {
    let mut line = sender.connect(FIRST).await;
    for (n, length) in lengths.enumerate() {
        line.sends(text(format!("m{n}"), reader, &"x".repeat(length))).await;
    }
}

/// Reads and acknowledges all; how many came of each sender.
async fn read_all(line: &mut Line, count: usize) -> BTreeMap<UserId, usize> {
    let mut read = BTreeMap::<UserId, usize>::new();
    let mut last = 0;
    while read.values().sum::<usize>() < count {
        let Frame::Messages { items } = line.hears().await else { continue };
        for item in &items {
            let next = read.entry(item.from).or_default();
            assert_eq!(item.id.as_str(), format!("m{next}"), "in order, and each once");
            assert!(item.seq > last);
            (*next, last) = (*next + 1, item.seq);
        }
        line.acks(last).await;
    }
    read
}

#[tokio::test]
async fn a_reader_that_stops_costs_its_gateway_no_memory() {
    let stack = support::stack().gateways(2).limits(false).env("PETREL_HEARTBEAT_SECS", "300");
    let stack = stack.start().await.unwrap();
    let senders: [Person; SENDERS] = Person::several_on(&stack).await;
    let [reader] = Person::several_on(&stack).await;
    let mut line = reader.connect(SECOND).await;
    let memory = || support::memory_kib(&stack.gateways()[SECOND]);
    let before = memory();

    let each = MESSAGES / SENDERS;
    join_all(senders.iter().map(|sender| {
        let long = LONG / SENDERS;
        let lengths = (0..each).map(move |n| if n < long { 16_300 } else { SHORT_BODY });
        send_all(sender, &reader, lengths)
    }))
    .await;
    let held = memory().saturating_sub(before);

    let read = read_all(&mut line, MESSAGES).await;
    assert!(held < HELD_KIB, "{held} KiB more than before");
    assert_eq!(read, senders.iter().map(|sender| (sender.user(), each)).collect());
}
