//! Polls with acknowledgements while messages pour in.

use std::collections::BTreeMap;

use dev::Stack;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{LONG, acks, polls_for, sends};
use crate::{
    people::{FIRST, PATIENCE, Person, SECOND, text},
    support,
};

/// By each of the senders.
const MESSAGES: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_messages_pour_in_through_both_gateways() {
    pours(support::shared_stack().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_where_replicas_lag() {
    let stack = support::stack().gateways(2).workers(2).nats_nodes(3).limits(false).start().await;
    pours(&stack.unwrap()).await;
}

async fn pours(stack: &Stack) {
    let people: [Person; 5] = Person::several_on(stack).await;
    let [bob, senders @ ..] = &people;
    let pouring = join_all(senders.iter().enumerate().map(async |(n, sender)| {
        let account = sender.at(if n % 2 == 0 { FIRST } else { SECOND });
        let mut placed = Vec::new();
        for n in 0..MESSAGES {
            let sent = sends(&account, text(format!("m{n}"), bob, "hi")).await.unwrap();
            placed.push((sent.id.to_string(), sent.ts));
        }
        (sender.user(), placed)
    }));
    let polling = async {
        let accounts = [bob.at(FIRST), bob.at(SECOND)];
        let (mut got, mut newest, mut again) = (BTreeMap::<_, Vec<_>>::new(), 0, 0);
        let mut turn = 0;
        while got.values().map(Vec::len).sum::<usize>() < MESSAGES * senders.len() {
            turn += 1;
            let items = polls_for(&accounts[turn % 2], LONG, 1 + turn % 9).await.unwrap();
            let Some(last) = items.last().map(|item| item.seq) else { continue };
            for item in items {
                // At least once; who has it drops it.
                if item.seq <= newest {
                    again += 1;
                    continue;
                }
                newest = item.seq;
                got.entry(item.from).or_default().push((item.id.to_string(), item.ts));
            }
            acks(&accounts[turn / 2 % 2], last).await.unwrap();
        }
        (got, again)
    };
    let polled = async { tokio::join!(pouring, polling) };
    let (sent, (got, again)) = timeout(4 * PATIENCE, polled).await.unwrap();
    assert_eq!(got, sent.into_iter().collect(), "each once, and in the order it was sent");
    // What is acknowledged is gone when that is answered, but where the worker
    // is late.
    assert!(again < MESSAGES, "{again} came again");
}
