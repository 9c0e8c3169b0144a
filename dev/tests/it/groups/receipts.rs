//! Delivered and Read in groups: per sender, chat and reader.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, future::join_all, stream};
use nats::subject::{RECEIPTS_BUCKET, bucket_stream};
use schemas::{
    Micros, UserId,
    limits::GROUP_MEMBERS,
    server::{Frame, Receipt},
};
use serde_json::json;

use super::{Club, crowd, line};
use crate::{
    people::{FIRST, Line, Person, SECOND},
    support,
};

/// Says that these senders' messages are read.
async fn reads(line: &mut Line, club: Club, marks: &BTreeMap<UserId, Micros>) {
    line.say(json!({"type": "read", "chat": club.chat(), "marks": marks})).await;
}

/// Hears that a message is stored, and acknowledges nothing; its `ts`.
async fn sent(line: &mut Line) -> Micros {
    loop {
        match line.hears().await {
            Frame::Sent(sent) => return sent.ts,
            Frame::Messages { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Hears receipts until each of these readers has read up to that `ts`; the
/// largest `rev`.
async fn hears_all_read(line: &mut Line, readers: &[UserId], ts: Micros) -> u64 {
    let mut waiting: Vec<UserId> = readers.to_vec();
    let mut newest = 0;
    while !waiting.is_empty() {
        match line.hears().await {
            Frame::Receipts { items } => {
                for receipt in items {
                    newest = receipt.rev.max(newest);
                    if (receipt.delivered, receipt.read) == (ts, ts) {
                        waiting.retain(|reader| *reader != receipt.user);
                    }
                }
            }
            Frame::CaughtUp {} | Frame::Messages { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    newest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_read_many_messages_write_as_many_receipts_as_there_are_pairs() {
    const SENDERS: usize = 10;
    const EACH: usize = 10;
    let stack = support::stack().gateways(2).limits(false).start().await.unwrap();
    let people = crowd(&stack, GROUP_MEMBERS).await;
    let club = Club::of(&people.iter().collect::<Vec<_>>()).await;
    let bus = stack.bus().await.unwrap();
    let written = async || {
        let bucket = bus.jetstream.get_stream(bucket_stream(RECEIPTS_BUCKET)).await.unwrap();
        bucket.cached_info().state.last_sequence
    };
    let before = written().await;

    let sends = people[..SENDERS].iter().enumerate().map(async |(n, sender)| {
        let mut line = line(sender, n % 2).await;
        let mut last = Micros(0);
        for number in 0..EACH {
            line.say(club.text(format!("m{number}"))).await;
            last = sent(&mut line).await;
        }
        line.hangs_up().await;
        (sender.user(), last)
    });
    let marks: BTreeMap<UserId, Micros> = join_all(sends).await.into_iter().collect();

    let read = stream::iter(&people).enumerate().map(async |(n, reader)| {
        let mut line = reader.hello(n % 2).await;
        let items = line.catches_up().await.items;
        line.acks(items[items.len() - 1].seq).await;
        reads(&mut line, club, &marks).await;
        line.is_quiet_but_for_changes().await;
        line.hangs_up().await;
    });
    read.buffer_unordered(16).collect::<Vec<()>>().await;

    // Every sender was away; each is told of everybody else.
    let mut newest = 0;
    for (n, sender) in people[..SENDERS].iter().enumerate() {
        let others: Vec<UserId> =
            people.iter().map(Person::user).filter(|user| *user != sender.user()).collect();
        let mut line = sender.hello(1 - n % 2).await;
        let rev = hears_all_read(&mut line, &others, marks[&sender.user()]).await;
        newest = rev.max(newest);
    }
    let mut line = people[0].hello_after(FIRST, newest).await;
    assert_eq!(line.catches_up().await.receipts, [], "they are known already");

    let pairs = (SENDERS * GROUP_MEMBERS) as u64;
    let writes = written().await - before;
    // Delivered and read of each pair, and what each has read for their own devices.
    assert!(writes <= 3 * pairs, "{writes} writes for {pairs} pairs");
    assert!(writes >= pairs - SENDERS as u64, "{writes} writes for {pairs} pairs");
}

impl Line {
    /// Waits until the gateway has taken all that was said.
    async fn is_quiet_but_for_changes(&mut self) {
        self.say(json!({"type": "ping"})).await;
        while !matches!(self.hears().await, Frame::Pong { .. }) {}
    }
}

/// Hears one receipt, and does not care for messages before it.
async fn receipt(line: &mut Line) -> Receipt {
    loop {
        match line.hears().await {
            Frame::Receipts { items } if items.len() == 1 => return items[0],
            Frame::Messages { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn receipts_in_a_group_are_per_sender_and_events_move_none() {
    let [alice, bob, carol] = Person::several().await;
    let club = Club::of(&[&alice, &bob, &carol]).await;
    let (mut a, mut b) = (line(&alice, FIRST).await, line(&bob, SECOND).await);
    let mut c = line(&carol, FIRST).await;
    let of_alice = a.sends(club.text("m1")).await;
    assert_eq!(b.gets().await.ts, of_alice);
    let of_bob = b.sends(club.text("m1")).await;
    let items = c.gets_all(2).await;

    c.acks(items[0].seq).await;
    let told = receipt(&mut a).await;
    assert_eq!((told.chat, told.user), (club.chat(), carol.user()));
    assert_eq!((told.delivered, told.read), (of_alice, Micros(0)));
    c.acks(items[1].seq).await;
    let told = receipt(&mut b).await;
    assert_eq!((told.delivered, told.read), (of_bob, Micros(0)));

    // An event is acknowledged as anything else, and counts for nobody.
    club.rename(&bob, FIRST, "new").await.unwrap();
    let event = c.gets().await;
    c.acks(event.seq).await;
    reads(&mut c, club, &[(bob.user(), event.ts)].into()).await;
    let told = receipt(&mut b).await;
    assert_eq!((told.delivered, told.read), (of_bob, of_bob), "not up to the event");
}

#[tokio::test]
async fn who_hides_reading_in_a_group_shows_it_to_none_and_syncs_their_own_devices() {
    let [alice, bob, carol] = Person::several().await;
    let patch = serde_json::from_value(json!({"settings": {"read_receipts": false}})).unwrap();
    bob.account.patch_me(&patch).await.unwrap();
    let desk = bob.link().await;
    let club = Club::of(&[&alice, &bob, &carol]).await;
    let mut a = line(&alice, FIRST).await;
    let (mut b, mut d) = (line(&bob, FIRST).await, line(&desk, SECOND).await);
    let mut c = line(&carol, SECOND).await;

    let ts = a.sends(club.text("m1")).await;
    for line in [&mut b, &mut c] {
        let item = line.gets().await;
        line.acks(item.seq).await;
        reads(line, club, &[(alice.user(), ts)].into()).await;
    }
    assert_eq!(d.gets().await.id.as_str(), "m1");
    let Frame::Read { items } = d.hears().await else { panic!() };
    assert_eq!((items[0].chat, &items[0].marks), (club.chat(), &[(alice.user(), ts)].into()));
    hears_all_read(&mut a, &[carol.user()], ts).await;

    // To who hides it, nobody's reading is shown.
    let of_bob = b.sends(club.text("m2")).await;
    let item = c.gets().await;
    c.acks(item.seq).await;
    reads(&mut c, club, &[(bob.user(), of_bob)].into()).await;
    let receipt = b.gets_receipt().await;
    assert_eq!((receipt.user, receipt.delivered), (carol.user(), of_bob));
    assert_eq!(receipt.read, Micros(0));
    a.hangs_up().await;
    let receipts = alice.hello(SECOND).await.catches_up().await.receipts;
    let of_bob = receipts.iter().find(|receipt| receipt.user == bob.user()).unwrap();
    assert_eq!((of_bob.delivered, of_bob.read), (ts, Micros(0)));
}
