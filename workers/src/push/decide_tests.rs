//! A device, a chat, and workers that come and go, in simulated time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Time in which everything that is under way settles: longer than a claim and
/// than any pause.
const SETTLED: Duration = Duration::from_secs(2 * 60 * 60);

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// So many messages arrive.
    Arrive(u8),
    /// The device comes and takes all there is.
    Come,
    /// Time passes, in seconds, and whatever is due is looked at.
    Pass(u16),
    /// The next look goes wrong in this way.
    Trouble(Trouble),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The provider takes nothing.
    Refused,
    /// The worker dies with the claim in hand, before it has sent.
    DiesBefore,
    /// It dies after it has sent.
    DiesAfter,
    /// The message comes to two workers.
    Twice,
}

#[derive(Default)]
struct World {
    now: i64,
    last: u64,
    inbox: BTreeSet<u64>,
    /// When the stream gives a message to a worker.
    due: BTreeMap<u64, i64>,
    record: Option<PushRecord>,
    trouble: Vec<Trouble>,
    /// Of every notification: when, and the newest message then.
    sent: Vec<(i64, u64)>,
    /// What dying after sending explains.
    duplicates: usize,
}

/// After a worker died, its message comes to another.
const ACK_WAIT: i64 = 30_000;

impl World {
    fn arrive(&mut self) {
        self.last += 1;
        self.inbox.insert(self.last);
        self.due.insert(self.last, self.now);
    }

    fn come(&mut self) {
        // A message that was delivered never comes again.
        self.inbox.clear();
        self.due.clear();
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + i64::try_from(time.as_millis()).unwrap();
        while let Some((seq, at)) = self.next_due()
            && at <= until
        {
            self.now = self.now.max(at);
            let twice = self.take_trouble(Trouble::Twice);
            self.look(seq);
            if twice && self.inbox.contains(&seq) {
                self.look(seq);
            }
        }
        self.now = until;
    }

    fn next_due(&self) -> Option<(u64, i64)> {
        self.due.iter().map(|(seq, at)| (*seq, *at)).min_by_key(|(seq, at)| (*at, *seq))
    }

    fn take_trouble(&mut self, trouble: Trouble) -> bool {
        let found = self.trouble.iter().position(|t| *t == trouble);
        found.map(|index| self.trouble.remove(index)).is_some()
    }

    fn look(&mut self, seq: u64) {
        let now = Millis(self.now);
        let other = self.record.and_then(|record| depends_on(seq, &record, now));
        let gone = other.is_some_and(|other| !self.inbox.contains(&other));
        match decide(seq, self.record.as_ref(), gone, now) {
            Decision::Told | Decision::Left => {
                self.due.remove(&seq);
            }
            Decision::Wait(pause) => self.again(seq, pause),
            Decision::Keep(record, pause) => {
                self.record = Some(record);
                self.again(seq, pause);
            }
            Decision::Claim(claimed) => {
                self.record = Some(claimed);
                self.notify(seq, &claimed);
            }
        }
    }

    fn notify(&mut self, seq: u64, claimed: &PushRecord) {
        let now = Millis(self.now);
        if self.take_trouble(Trouble::DiesBefore) {
            self.due.insert(seq, self.now + ACK_WAIT);
        } else if self.take_trouble(Trouble::DiesAfter) {
            self.sent.push((self.now, self.last));
            self.duplicates += 1;
            self.due.insert(seq, self.now + ACK_WAIT);
        } else if self.take_trouble(Trouble::Refused) {
            let pause = Duration::from_secs(5);
            self.record = Some(if seq.is_multiple_of(2) {
                failed(claimed, seq, pause, now)
            } else {
                held(claimed, seq, pause, now)
            });
            self.again(seq, pause);
        } else {
            self.sent.push((self.now, self.last));
            self.record = Some(sent(claimed, seq, self.last, now));
            self.due.remove(&seq);
        }
    }

    fn again(&mut self, seq: u64, pause: Duration) {
        assert!(!pause.is_zero(), "it would come at once, for ever");
        self.due.insert(seq, self.now + i64::try_from(pause.as_millis()).unwrap());
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let trouble = prop_oneof![
        Just(Trouble::Refused),
        Just(Trouble::DiesBefore),
        Just(Trouble::DiesAfter),
        Just(Trouble::Twice),
    ];
    let step = prop_oneof![
        4 => (1_u8..60).prop_map(Step::Arrive),
        2 => Just(Step::Come),
        4 => (0_u16..100).prop_map(Step::Pass),
        1 => trouble.prop_map(Step::Trouble),
    ];
    prop::collection::vec(step, 1..40)
}

fn run(steps: &[Step]) -> World {
    let mut world = World { now: 1_700_000_000_000, ..World::default() };
    for step in steps {
        match step {
            Step::Arrive(count) => (0..*count).for_each(|_| world.arrive()),
            Step::Come => world.come(),
            Step::Pass(secs) => world.pass(Duration::from_secs(u64::from(*secs))),
            Step::Trouble(trouble) => world.trouble.push(*trouble),
        }
        // Whatever is due now is looked at now.
        world.pass(Duration::ZERO);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever dies, a device is told of everything that it has not taken, and
    /// in the end nothing waits to be looked at.
    #[test]
    fn whoever_stays_away_is_told_of_everything(steps in steps()) {
        let mut world = run(&steps);
        world.trouble.clear();
        world.pass(SETTLED);
        prop_assert!(world.due.is_empty(), "{:?}", world.due);
        if let Some(newest) = world.inbox.last() {
            let told = world.sent.last().map_or(0, |(_, newest)| *newest);
            prop_assert!(told >= *newest, "told up to {told}, {newest} waits");
        }
    }

    /// As long as a device takes nothing, notifications get rarer: none comes
    /// before its time, unless a worker died with one half done.
    #[test]
    fn whoever_takes_nothing_is_left_alone_for_ever_longer(
        steps in prop::collection::vec((1_u8..60, 0_u16..100), 1..40),
    ) {
        let steps: Vec<_> = steps
            .into_iter()
            .flat_map(|(count, secs)| [Step::Arrive(count), Step::Pass(secs)])
            .collect();
        let mut world = run(&steps);
        world.pass(SETTLED);
        let gaps = world.sent.windows(2).map(|pair| pair[1].0 - pair[0].0);
        for (sent, gap) in gaps.enumerate() {
            let least = repeat_after(u32::try_from(sent + 1).unwrap());
            let gap = Duration::from_millis(u64::try_from(gap).unwrap());
            prop_assert!(gap >= least, "notification {} came after {gap:?}", sent + 2);
        }
    }

    /// At most one message of a chat waits for a later notification.
    #[test]
    fn what_waits_is_bounded(bursts in prop::collection::vec(1_u8..60, 1..10)) {
        let mut world = World { now: 1_700_000_000_000, ..World::default() };
        for count in bursts {
            (0..count).for_each(|_| world.arrive());
            world.pass(Duration::from_secs(3));
            prop_assert!(world.due.len() <= 1, "{:?}", world.due);
        }
    }
}

#[test]
fn a_burst_is_one_notification_and_then_a_reminder() {
    let mut world = World { now: 1_700_000_000_000, ..World::default() };
    (0..50).for_each(|_| world.arrive());
    world.pass(Duration::from_secs(20));
    assert_eq!(world.sent.len(), 1);
    assert!(world.due.is_empty(), "all fifty were stored when it was sent");
    world.arrive();
    world.pass(Duration::from_secs(5));
    assert_eq!(world.sent.len(), 1);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn whoever_has_come_is_told_at_once_the_next_time() {
    let mut world = World { now: 1_700_000_000_000, ..World::default() };
    world.arrive();
    world.pass(Duration::from_secs(1));
    world.come();
    world.arrive();
    world.pass(Duration::ZERO);
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn a_worker_that_dies_in_between_costs_one_duplicate() {
    let mut world = World { now: 1_700_000_000_000, ..World::default() };
    world.trouble.push(Trouble::DiesAfter);
    world.arrive();
    world.pass(SETTLED);
    assert_eq!((world.sent.len(), world.duplicates), (2, 1));
}

#[test]
fn a_message_that_was_delivered_after_all_is_no_notification() {
    let now = Millis(1_700_000_000_000);
    let Decision::Claim(claimed) = decide(7, None, false, now) else { panic!("nothing told yet") };
    let delivered = needless(&claimed, Some(7));
    assert_eq!(depends_on(8, &delivered, now), Some(7));
    assert!(matches!(decide(8, Some(&delivered), true, now), Decision::Claim(_)));

    // Its device is back, and does not take it: the same message is told then.
    let back = needless(&claimed, None);
    assert!(matches!(decide(7, Some(&back), false, now), Decision::Claim(_)));
    assert_eq!(decide(8, Some(&back), false, now), Decision::Left);
}
