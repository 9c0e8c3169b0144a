//! Workers die.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::consumer::PullConsumer;
use dev::{
    Stack,
    client::{Account, Api},
};
use nats::{Bus, subject};
use schemas::{ChatId, Micros, client};
use tokio_util::sync::CancellationToken;

use super::{guest::Guest, line::Line, party::Party, state, undelivered};
use crate::support;

/// After this, what a worker had in its hands when it died goes to another.
/// Elsewhere it is half a minute.
const HANDED_ON: Duration = Duration::from_secs(2);
/// More reads than a gateway keeps for a worker, with those under way.
const TOO_MANY_READS: usize = 8_000;

#[tokio::test(flavor = "multi_thread")]
async fn while_no_worker_lives_people_talk_on_and_the_ticks_come_later() {
    let stack = support::stack().gateways(2).limits(false).start().await.unwrap();
    let worker = &stack.workers()[0];
    let bus = stack.bus().await.unwrap();
    hand_on_soon(&bus).await;
    let party = Party::at(&stack).await;
    party
        .talks_while(async {
            for _ in 0..3 {
                // The next one goes by the consumer as it is now.
                worker.restart().await.unwrap();
                party.confirms(10).await;
                worker.kill9().await;
                // Nobody needs a worker to be sent something, or to see it.
                let shown = party.guests[0].notes().shown.len();
                party.confirms(20).await;
                assert!(party.guests[0].notes().shown.len() > shown);
                assert!(undelivered(&bus).await.unwrap() > 0, "who has deleted them?");
            }
            worker.restart().await.unwrap();
        })
        .await;
    party.settles().await;
    party.leaves_nothing_behind().await;
}

async fn hand_on_soon(bus: &Bus) {
    let receipts = bus.jetstream.get_stream(subject::RECEIPTS_STREAM).await.unwrap();
    let consumer: PullConsumer = receipts.get_consumer(subject::RECEIPTS_CONSUMER).await.unwrap();
    let mut config = consumer.cached_info().config.clone();
    config.ack_wait = HANDED_ON;
    receipts.update_consumer(config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_takes_receipts_people_talk_on() {
    let stack = support::stack().limits(false).start().await.unwrap();
    let bus = stack.bus().await.unwrap();
    let party = Party::at(&stack).await;
    // Without a worker nobody makes the stream again.
    stack.workers()[0].kill9().await;
    stack.nats().nodes()[0].kill9().await;
    stack.nats().nodes()[0].restart().await.unwrap();
    assert!(state(&bus, subject::RECEIPTS_STREAM).await.is_none());

    let (_, reader) = Guest::register(&api(&stack)).await;
    let enough = CancellationToken::new();
    let reading = enough.run_until_cancelled(reads_too_much(&stack, &reader));
    let talking = async {
        party.talks_while(party.confirms(20)).await;
        party.is_shown_everything().await;
        enough.cancel();
    };
    tokio::join!(reading, talking);

    stack.workers()[0].restart().await.unwrap();
    party.talks_while(party.confirms(5)).await;
    party.settles().await;
}

fn api(stack: &Stack) -> Api {
    Api::new(&stack.gateways()[0].url()).unwrap()
}

/// Tells a gateway of more reads than it can keep.
async fn reads_too_much(stack: &Stack, reader: &Account) {
    let mut line = Line::hello(&api(stack), reader).await;
    let chat = ChatId::User(reader.user());
    for nth in 0..TOO_MANY_READS {
        let marks = BTreeMap::from([(reader.user(), Micros(nth as i64))]);
        line.socket.feed(&client::Frame::Read(client::Read { chat, marks })).await.unwrap();
    }
    line.socket.flush().await.unwrap();
    std::future::pending().await
}
