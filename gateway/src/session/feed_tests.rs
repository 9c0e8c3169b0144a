#![allow(clippy::unwrap_used)]
//! The merge against a seeded model of a replicated stream.

use proptest::prelude::*;
use schemas::stored::MessagesFrame;

use super::*;

/// A stream of one inbox among others, a replica that lags, and the wire
/// between the leader's republishing and the session.
#[derive(Debug, Default)]
struct Model {
    last: u64,
    /// Filled positions that were not deleted.
    stored: Vec<u64>,
    /// The replica has applied everything up to here.
    replica: u64,
    wire: VecDeque<Live>,
    /// Every position ever filled.
    history: Vec<u64>,
    deleted: Vec<u64>,
}

impl Model {
    fn store(&mut self, hole: u64) {
        let previous = self.stored.last().copied().unwrap_or(0);
        self.last += 1 + hole;
        self.stored.push(self.last);
        self.history.push(self.last);
        self.wire.push_back(Live { entry: entry(self.last), previous });
    }

    fn delete(&mut self, seq: u64) {
        self.stored.retain(|stored| *stored != seq);
        self.deleted.push(seq);
    }

    fn answer(&self, read: Read, page: usize) -> Page {
        let visible = |seq: &&u64| **seq >= read.from && (read.leader || **seq <= self.replica);
        let items = if read.leader { 1 } else { read.items.min(page) };
        let entries: Vec<Entry> =
            self.stored.iter().filter(visible).take(items).map(|seq| entry(*seq)).collect();
        let end = if read.leader {
            entries.is_empty()
        } else {
            self.stored.iter().filter(visible).count() == entries.len()
        };
        Page { entries, end }
    }
}

fn entry(seq: u64) -> Entry {
    Entry { seq, stored: Bytes::from_static(b"{}") }
}

#[derive(Debug, Clone)]
enum Step {
    Store {
        hole: u64,
    },
    DeliverLive,
    /// Core NATS lost what was on the wire, and says so.
    LoseLive(usize),
    DuplicateLive,
    SwapLive,
    CatchReplicaUp(u64),
    StartRead,
    FinishRead {
        page: usize,
    },
    FailRead,
    Take(usize),
    Acknowledge(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..3).prop_map(|hole| Step::Store { hole }),
        6 => Just(Step::DeliverLive),
        1 => (1usize..4).prop_map(Step::LoseLive),
        1 => Just(Step::DuplicateLive),
        1 => Just(Step::SwapLive),
        3 => (1u64..6).prop_map(Step::CatchReplicaUp),
        3 => Just(Step::StartRead),
        3 => (1usize..8).prop_map(|page| Step::FinishRead { page }),
        1 => Just(Step::FailRead),
        3 => (1usize..6).prop_map(Step::Take),
        2 => (1usize..4).prop_map(Step::Acknowledge),
    ]
}

/// A session's window in miniature.
struct Session {
    feed: Feed,
    window: usize,
    in_flight: VecDeque<u64>,
    seen: Vec<u64>,
    read: Option<(Read, Page)>,
}

impl Session {
    fn room(&self) -> usize {
        self.window - self.in_flight.len()
    }

    fn take(&mut self, most: usize) {
        let (count, _) = self.feed.next_batch(self.room().min(most));
        for _ in 0..count {
            let entry = self.feed.pop().unwrap();
            assert!(self.seen.last().is_none_or(|last| *last < entry.seq), "seq rises");
            self.seen.push(entry.seq);
            self.in_flight.push_back(entry.seq);
        }
        assert!(self.in_flight.len() <= self.window);
        assert!(self.feed.ready.len() <= self.window, "memory is bounded");
    }

    fn acknowledge(&mut self, model: &mut Model, most: usize) {
        for _ in 0..most {
            if let Some(seq) = self.in_flight.pop_front() {
                model.delete(seq);
            }
        }
    }

    /// Carries one step out.
    fn take_step(&mut self, model: &mut Model, step: Step) {
        let room = self.room();
        match step {
            Step::Store { hole } => model.store(hole),
            Step::DeliverLive => {
                if let Some(live) = model.wire.pop_front() {
                    self.feed.live(live, room);
                }
            }
            Step::LoseLive(count) => {
                let count = count.min(model.wire.len());
                if count > 0 {
                    model.wire.drain(..count);
                    self.feed.look_again();
                }
            }
            Step::DuplicateLive => {
                if let Some(live) = model.wire.front().cloned() {
                    self.feed.live(live, room);
                }
            }
            Step::SwapLive => {
                if model.wire.len() >= 2 {
                    model.wire.swap(0, 1);
                }
            }
            Step::CatchReplicaUp(by) => model.replica = (model.replica + by).min(model.last),
            Step::StartRead => {
                if let Some(read) = self.feed.next_read(room) {
                    // The store answers now; the answer arrives later.
                    self.read = Some((read, model.answer(read, usize::MAX)));
                }
            }
            Step::FinishRead { page } => {
                if let Some((read, answer)) = self.read.take() {
                    let cut = answer.entries.len() > page;
                    let entries = answer.entries.into_iter().take(page).collect();
                    let _ = read;
                    self.feed.page(Page { entries, end: answer.end && !cut }, room);
                }
            }
            Step::FailRead => {
                if self.read.take().is_some() {
                    self.feed.read_failed();
                }
            }
            Step::Take(most) => self.take(most),
            Step::Acknowledge(most) => self.acknowledge(model, most),
        }
    }

    /// The network calms down: everything arrives, the replica catches up, and
    /// the client acknowledges as it goes.
    fn come_to_rest(&mut self, model: &mut Model, look_again: bool) {
        model.replica = model.last;
        if look_again {
            self.feed.look_again();
        }
        for _ in 0..4 * (model.history.len() + 10) {
            self.take_step(model, Step::DeliverLive);
            self.take_step(model, Step::StartRead);
            self.take_step(model, Step::FinishRead { page: 7 });
            self.take(usize::MAX);
            self.acknowledge(model, 3);
        }
        assert!(model.wire.is_empty());
        assert!(self.feed.next_read(self.room()).is_none(), "at rest");
    }
}

fn session(window: usize) -> Session {
    Session {
        feed: Feed::default(),
        window,
        in_flight: VecDeque::new(),
        seen: Vec::new(),
        read: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is stored, delayed, lost with notice, repeated, reordered,
    /// deleted or late on a replica: each message is taken once, in order, and
    /// none is missing in the end.
    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(
        window in 1usize..12,
        before in 0u64..6,
        lag in 0u64..6,
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut model = Model::default();
        for _ in 0..before {
            model.store(0);
        }
        // Stored and told of before this session subscribed.
        model.wire.clear();
        model.replica = model.last.saturating_sub(lag);
        let mut session = session(window);
        for step in steps {
            session.take_step(&mut model, step);
        }
        // The look 1 to 2 s after connecting, which finds what a lagging
        // replica hid from the first read with nothing after it to tell.
        session.come_to_rest(&mut model, true);
        prop_assert_eq!(&session.seen, &model.history);
        prop_assert!(session.feed.is_caught_up());
    }

    /// With the leader's answers and no loss no second look is needed.
    #[test]
    fn a_store_that_does_not_lag_needs_no_second_look(
        window in 1usize..12,
        before in 0u64..6,
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut model = Model::default();
        for _ in 0..before {
            model.store(1);
        }
        model.wire.clear();
        let mut session = session(window);
        for step in steps {
            model.replica = model.last;
            session.take_step(&mut model, step);
        }
        session.come_to_rest(&mut model, false);
        prop_assert_eq!(&session.seen, &model.history);
    }
}

#[test]
fn a_lagging_replica_is_read_again_and_then_the_leader() {
    let mut model = Model::default();
    model.store(0);
    model.wire.clear();
    let mut session = session(4);
    session.take_step(&mut model, Step::StartRead);
    session.take_step(&mut model, Step::FinishRead { page: 9 });
    model.store(0);
    session.take_step(&mut model, Step::DeliverLive);
    // The replica never catches up: only the leader has the first message.
    for attempt in 0..REPLICA_READS {
        let read = session.feed.next_read(4).unwrap();
        assert_eq!((read.attempt, read.leader), (attempt, false));
        session.feed.page(Page { entries: vec![], end: true }, 4);
    }
    let read = session.feed.next_read(4).unwrap();
    assert!(read.leader);
    session.feed.page(model.answer(read, 1), 4);
    session.take_step(&mut model, Step::StartRead);
    session.take_step(&mut model, Step::FinishRead { page: 1 });
    session.take(9);
    assert_eq!(session.seen, [1, 2]);
}

#[test]
fn without_room_nothing_is_kept() {
    let mut feed = Feed::default();
    feed.next_read(2).unwrap();
    feed.page(Page { entries: vec![], end: true }, 2);
    for seq in 1..1000 {
        feed.live(Live { entry: entry(seq), previous: seq - 1 }, 2);
    }
    assert_eq!((feed.ready.len(), feed.parked.len()), (2, 0));
    assert_eq!(feed.next_read(2), None, "no room, no read");
    feed.pop();
    assert_eq!(feed.next_read(2).unwrap().from, 3);
}

#[test]
fn a_batch_is_cut_at_its_bytes() {
    let mut feed = Feed::default();
    feed.next_read(64).unwrap();
    let entries = (1..=40).map(|seq| Entry { seq, stored: vec![b' '; 16 * 1024].into() }).collect();
    feed.page(Page { entries, end: true }, 64);
    assert_eq!(feed.next_batch(64).0, 15, "what the frame itself takes counts, too");
    assert_eq!(feed.next_batch(3).0, 3);
}

#[test]
fn a_batch_has_no_more_bytes_than_it_says() {
    let mut feed = Feed::default();
    feed.next_read(64).unwrap();
    let seqs = (u64::MAX - 80)..u64::MAX;
    let stored = Bytes::from(format!(r#"{{"id":"{}"}}"#, "x".repeat(4096 - 9)));
    let entries = seqs.map(|seq| Entry { seq, stored: stored.clone() }).collect();
    feed.page(Page { entries, end: true }, 64);
    let (count, bytes) = feed.next_batch(64);
    let mut frame = MessagesFrame::with_capacity(bytes);
    (0..count).filter_map(|_| feed.pop()).for_each(|entry| frame.push(entry.seq, &entry.stored));
    assert_eq!(frame.finish().len(), bytes - 1, "one comma less than there are items");
    assert!(bytes <= MESSAGES_BYTES && count == 63, "{bytes} bytes of {count}");
}
