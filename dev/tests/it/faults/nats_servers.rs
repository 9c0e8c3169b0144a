//! nats-servers die.

use std::time::{Duration, Instant};

use dev::{Process, Stack, SyncMode};
use nats::{
    Topology,
    subject::{self, Shards},
};
use schemas::ErrorCode;

use super::{eventually, party::Party, state};
use crate::support::{self, undisturbed};

/// Much sooner than a worker that hears nothing would notice.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn the_only_nats_server_dies_and_comes_back() {
    undisturbed(async || {
        let stack = support::stack().gateways(2).sync(SyncMode::Always).limits(false);
        let stack = stack.start().await.unwrap();
        let [first, second] = stack.gateways() else { panic!("two gateways were asked for") };
        let node = &stack.nats().nodes()[0];
        let bus = stack.bus().await.unwrap();
        let party = Party::at(&stack).await;
        party
            .talks_while(async {
                // For a moment: sends wait for it.
                party.confirms(10).await;
                node.kill9().await;
                node.restart().await.unwrap();
                party.confirms(10).await;
                assert!(party.guests.iter().all(|guest| guest.notes().delayed.is_empty()));
                // For so long that sends are refused, and tried again.
                node.kill9().await;
                party.guests[0].until("a refusal", |notes| !notes.delayed.is_empty()).await;
                node.restart().await.unwrap();
                // The receipts were in the memory of a process that is gone. Their
                // stream is back without anybody's doing, and at once.
                let restarted = Instant::now();
                let receipts = async || {
                    let state = state(&bus, subject::RECEIPTS_STREAM).await;
                    state.is_some_and(|state| state.consumer_count == 1)
                };
                eventually("receipts are taken again", receipts).await;
                assert!(restarted.elapsed() < AT_ONCE, "{:?}", restarted.elapsed());
                party.confirms(10).await;
            })
            .await;
        party.settles().await;
        for guest in &party.guests {
            let notes = guest.notes();
            assert!(notes.delayed.iter().all(|code| *code == ErrorCode::Unavailable), "{notes:?}");
        }
        // With it went acknowledgements. What they were for is in its inbox, comes
        // once more at the next connection, and is not shown again.
        first.kill9().await;
        party.is_served_by(second.name()).await;
        first.restart().await.unwrap();
        second.kill9().await;
        party.is_served_by(first.name()).await;
        party.settles().await;
        party.leaves_nothing_behind().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_three_dies_and_comes_back() {
    let few = Topology { shards: Shards::new(2).unwrap(), ..Topology::default() };
    let stack = support::stack().gateways(2).nats_nodes(3).topology(few).limits(false);
    let stack = stack.start().await.unwrap();
    let party = Party::at(&stack).await;
    let inbox = subject::inbox_stream(few.shards.of(party.guests[0].user));
    party
        .talks_while(async {
            party.confirms(10).await;
            let leader = leader_of(&stack, &inbox).await;
            leader.kill9().await;
            party.confirms(20).await;
            leader.restart().await.unwrap();
            party.confirms(10).await;

            let leader = leader_of(&stack, &inbox).await.name().to_owned();
            let mut nodes = stack.nats().nodes().iter();
            let follower = nodes.find(|node| node.name() != leader).unwrap();
            follower.kill9().await;
            party.confirms(20).await;
            follower.restart().await.unwrap();
            party.confirms(10).await;
        })
        .await;
    party.settles().await;
    party.leaves_nothing_behind().await;
}

/// The node that leads a stream.
async fn leader_of<'a>(stack: &'a Stack, stream: &str) -> &'a Process {
    let bus = stack.bus().await.unwrap();
    let mut leader = None;
    let known = async || {
        let stream = bus.jetstream.get_stream(stream).await.ok();
        let cluster = stream.and_then(|stream| stream.cached_info().cluster.clone());
        leader = cluster.and_then(|cluster| cluster.leader);
        leader.is_some()
    };
    eventually("a stream has a leader", known).await;
    let is_leader = |process: &&&Process| Some(process.name()) == leader.as_deref();
    let nodes: Vec<&Process> =
        stack.nats().nodes().iter().map(|node| -> &Process { node }).collect();
    nodes.iter().find(is_leader).unwrap()
}
