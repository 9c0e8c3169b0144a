//! The worker against stand-ins for its stores: two of them at once, with
//! repetition, reordering, failures and crashes between any two steps.
#![allow(clippy::unwrap_used)]

mod scenario;
mod world;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use futures_util::future::join_all;
use nats::subject::Shards;
use proptest::prelude::*;
use schemas::{
    DeviceId, Micros, UserId,
    event::{Acked, ReceiptsBatch},
};

use self::{
    scenario::scenarios,
    world::{Entry, Fate, World},
};
use super::{Receipts, fold::InboxKey};
use crate::runner::{Handler as _, Turn, Verdict};

const WORKERS: usize = 2;
/// Batches that each worker handles at once.
const OVERLAPPING: usize = 2;
/// Longer than a shard is left alone after a failure.
const LATER: Duration = Duration::from_secs(2);

/// What the workers do next, all at once.
#[derive(Debug, Clone)]
struct Round {
    /// How many events each batch takes.
    takes: Vec<usize>,
    /// After how many chances each batch is cut off, if it is: a crash.
    cuts: Vec<Option<u8>>,
    /// Whether both workers have started anew, knowing nothing.
    afresh: bool,
}

type Worker = Receipts<World, World>;

fn worker(world: &World) -> Worker {
    Receipts::new(world.clone(), world.clone(), Shards::DEFAULT, 4)
}

/// Handles a batch unless it is cut off; gives back what is to come again.
async fn handle(worker: &Worker, batch: Vec<ReceiptsBatch>, cut: Option<u8>) -> Vec<ReceiptsBatch> {
    let cut_off = async {
        let Some(chances) = cut else { return std::future::pending().await };
        for _ in 0..chances {
            tokio::task::yield_now().await;
        }
    };
    let verdicts = tokio::select! {
        biased;
        verdicts = worker.handle(&batch, Turn::alone()) => verdicts,
        () = cut_off => return batch,
    };
    assert_eq!(verdicts.len(), batch.len());
    let judged = batch.into_iter().zip(verdicts);
    judged.filter(|(_, verdict)| *verdict == Verdict::Retry).map(|(event, _)| event).collect()
}

/// Plays the rounds, and then goes on undisturbed until nothing is left to do.
async fn play(world: &World, events: Vec<ReceiptsBatch>, rounds: Vec<Round>) {
    let mut queue = VecDeque::from(events);
    let mut rounds = VecDeque::from(rounds);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| worker(world)).collect();
    for _ in 0..1_000 {
        if queue.is_empty() {
            return;
        }
        let batches = WORKERS * OVERLAPPING;
        let round = rounds.pop_front().unwrap_or_else(|| Round {
            takes: vec![usize::MAX; batches],
            cuts: vec![None; batches],
            afresh: false,
        });
        if round.afresh {
            workers = (0..WORKERS).map(|_| worker(world)).collect();
        }
        let batches: Vec<Vec<_>> = (round.takes.iter())
            .map(|take| queue.drain(..(*take).min(queue.len())).collect())
            .collect();
        let handled = batches
            .into_iter()
            .zip(round.cuts)
            .enumerate()
            .map(|(place, (batch, cut))| handle(&workers[place % WORKERS], batch, cut));
        for left in join_all(handled).await {
            queue.extend(left);
        }
        tokio::time::sleep(LATER).await;
    }
    panic!("it never ends");
}

/// How `acked` of the messages `there` of one device are removed: by so many
/// purges and so many deletes; and what is left.
fn removed(there: &[u64], acked: &[u64]) -> ((u64, u64), Vec<u64>) {
    let inbox = InboxKey { user: UserId::mint(), device: DeviceId::mint() };
    let entry = |seq: &u64| Entry { receipt: None, ts: Micros(1), acked: acked.contains(seq) };
    let entries: BTreeMap<u64, Entry> = there.iter().map(|seq| (*seq, entry(seq))).collect();
    let world = World::new(HashMap::from([(inbox, entries)]), Vec::new());
    let acked =
        Acked { user: inbox.user, device: inbox.device, seqs: acked.to_vec(), marks: vec![] };
    let event = ReceiptsBatch { acked: vec![acked], read: vec![] };
    run(play(&world, vec![event], Vec::new()));
    (world.removals(), world.left(&inbox))
}

#[test]
fn many_that_lie_close_are_purged() {
    assert_eq!(removed(&[5, 6, 7, 8, 9], &[5, 6, 7, 8]), ((1, 0), vec![9]));
    let close: Vec<u64> = (0..64).map(|n| 1 + n * 100).collect();
    assert_eq!(removed(&close, &close), ((1, 0), vec![]));
}

#[test]
fn few_and_far_ones_are_deleted_one_by_one() {
    assert_eq!(removed(&[5, 6, 7], &[5, 6]), ((0, 2), vec![7]));
    let far: Vec<u64> = (0..64).map(|n| 1 + n * 1_000).collect();
    assert_eq!(removed(&far, &far), ((0, 64), vec![]));
}

#[test]
fn a_purge_takes_no_older_message_along() {
    assert_eq!(removed(&[1, 5, 6, 7, 8], &[5, 6, 7, 8]), ((0, 4), vec![1]));
}

#[test]
fn what_is_gone_already_needs_no_purge() {
    assert_eq!(removed(&[], &[5, 6, 7, 8]), ((0, 4), vec![]));
    assert_eq!(removed(&[6, 7, 8, 9], &[5, 6, 7, 8]), ((1, 0), vec![9]));
}

/// Runs on a clock that only moves when everybody waits.
fn run(future: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future);
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        8 => (0..6u8).prop_map(Fate::Fine),
        1 => Just(Fate::Fails),
        1 => Just(Fate::Unheard),
    ];
    prop::collection::vec(fate, 0..200)
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let batches = WORKERS * OVERLAPPING;
    let cut = prop_oneof![3 => Just(None), 1 => (0..20u8).prop_map(Some)];
    let takes = prop::collection::vec(0..6usize, batches);
    let round = (takes, prop::collection::vec(cut, batches), any::<bool>());
    let round = round.prop_map(|(takes, cuts, afresh)| Round { takes, cuts, afresh });
    prop::collection::vec(round, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2 * ProptestConfig::default().cases,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_goes_wrong_the_end_is_the_truth(
        scenario in scenarios(),
        fates in fates(),
        rounds in rounds(),
    ) {
        let world = World::new(scenario.inboxes.clone(), fates);
        run(async {
            play(&world, scenario.events.clone(), rounds).await;
            scenario.assert_end(&world);
        });
    }

    #[test]
    fn doing_it_all_again_writes_nothing(scenario in scenarios()) {
        let world = World::new(scenario.inboxes.clone(), Vec::new());
        run(async {
            // Twice, because a read mark may have come before what it waited for.
            play(&world, scenario.events.clone(), Vec::new()).await;
            play(&world, scenario.events.clone(), Vec::new()).await;
            let writes = world.writes();
            play(&world, scenario.events.clone(), Vec::new()).await;
            assert_eq!(world.writes(), writes);
            scenario.assert_end(&world);
        });
    }
}
