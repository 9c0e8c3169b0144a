#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use schemas::{
    Body, ChatId, Micros, RawBody, UserId, http::List, server::Item, stored::StoredMessage,
};

use super::*;
use crate::session::feed::{Entry, Page, Read};

/// A poll, and the inbox it is about.
struct Model {
    wait: Wait,
    /// What the leader has.
    stored: Vec<u64>,
    /// How many of them the replica that answers has.
    shown: usize,
    reading: Option<Read>,
    buried: Vec<u64>,
    answer: Option<Answer>,
    /// What the leader had when it was asked last.
    told_by_leader: Option<Vec<u64>>,
}

fn message(seq: u64) -> Bytes {
    let from = UserId::from_parts(1, 0);
    let stored = StoredMessage {
        id: format!("m{seq}").parse().unwrap(),
        chat: ChatId::User(from),
        from,
        ts: Micros(seq as i64),
        after: None,
        body: RawBody::from(&Body::Text { text: "hi".into() }),
    };
    stored.to_json().into()
}

fn entry(seq: u64) -> Entry {
    Entry { seq, stored: message(seq) }
}

fn seqs(answer: &Answer) -> Vec<u64> {
    let Answer::Items(json) = answer else { panic!("{answer:?}") };
    let list: List<Item> = serde_json::from_slice(json).unwrap();
    list.items.iter().map(|item| item.seq).collect()
}

impl Model {
    fn new(limit: usize, stored: impl IntoIterator<Item = u64>) -> Self {
        let stored: Vec<u64> = stored.into_iter().collect();
        let mut model = Self {
            wait: Wait::new(limit),
            shown: stored.len(),
            stored,
            reading: None,
            buried: Vec::new(),
            answer: None,
            told_by_leader: None,
        };
        model.goes_on();
        model
    }

    /// Does what is to be done.
    fn goes_on(&mut self) {
        if self.answer.is_some() {
            return;
        }
        let mut work = Vec::new();
        self.answer = self.wait.next(&mut work);
        for errand in work {
            match errand {
                Work::ReadInbox(read) => {
                    assert!(self.reading.replace(read).is_none(), "two reads at once");
                }
                Work::Bury(entry) => self.buried.push(entry.seq),
                other => panic!("{other:?}"),
            }
        }
    }

    /// A message is stored, and told of unless that is lost.
    fn stores(&mut self, seq: u64, told: bool) {
        let previous = self.stored.last().copied().unwrap_or(0);
        self.stored.push(seq);
        if told {
            self.wait.live(vec![Live { entry: entry(seq), previous }], false);
        }
        self.goes_on();
    }

    /// The read comes back.
    fn reads(&mut self) {
        let Some(read) = self.reading.take() else { return };
        let (shown, most) = if read.leader {
            self.told_by_leader = Some(self.stored.clone());
            (self.stored.len(), 1)
        } else {
            (self.shown, read.items)
        };
        let found: Vec<u64> =
            self.stored[..shown].iter().copied().filter(|seq| *seq >= read.from).collect();
        let entries: Vec<Entry> = found.iter().take(most).map(|seq| entry(*seq)).collect();
        let end = if read.leader { entries.is_empty() } else { found.len() <= most };
        self.wait.page(Some(Page { entries, end }));
        self.goes_on();
    }

    fn fails(&mut self) {
        if self.reading.take().is_some() {
            self.wait.page(None);
            self.goes_on();
        }
    }

    fn time_is_up(&mut self) {
        if self.wait.is_patient() {
            self.wait.time_is_up();
            self.goes_on();
        }
    }

    fn leaves(&mut self) {
        self.wait.leave();
        self.goes_on();
    }

    fn answered(&self) -> Option<Vec<u64>> {
        self.answer.as_ref().map(seqs)
    }
}

#[test]
fn what_is_there_is_answered_at_once_up_to_the_limit() {
    let mut model = Model::new(3, [2, 5, 9, 12]);
    model.reads();
    assert_eq!(model.answered(), Some(vec![2, 5, 9]));
}

#[test]
fn a_message_ends_the_wait() {
    let mut model = Model::new(64, []);
    model.reads();
    assert!(model.wait.is_waiting() && model.answer.is_none());
    model.stores(7, true);
    assert_eq!(model.answered(), Some(vec![7]));
}

#[test]
fn what_comes_during_the_read_comes_once_and_in_order() {
    for shown in [1, 2] {
        let mut model = Model::new(64, [3]);
        model.stores(7, true);
        model.shown = shown;
        model.reads();
        assert_eq!(model.answered(), Some(vec![3, 7]));
    }
}

#[test]
fn what_a_replica_hides_is_told_by_the_leader_when_the_time_is_up() {
    let mut model = Model::new(64, []);
    model.stores(7, false);
    model.reads();
    assert_eq!(model.answer, None);
    model.time_is_up();
    model.reads();
    assert_eq!(model.answered(), Some(vec![7]));
}

#[test]
fn without_a_wait_the_inbox_is_read_all_the_same() {
    let mut model = Model::new(64, [2, 5]);
    model.time_is_up();
    model.reads();
    assert_eq!(model.answered(), Some(vec![2, 5]), "and not the first alone");
    let mut model = Model::new(64, []);
    model.time_is_up();
    model.reads();
    assert_eq!(model.answer, None);
    model.reads();
    assert_eq!(model.answered(), Some(vec![]));
    assert_eq!(model.told_by_leader, Some(vec![]));
}

#[test]
fn who_leaves_is_answered_once_the_inbox_was_read() {
    let mut model = Model::new(64, [4]);
    model.leaves();
    assert_eq!(model.answer, None);
    model.reads();
    assert_eq!(model.answered(), Some(vec![4]));
    let mut model = Model::new(64, []);
    model.reads();
    model.leaves();
    assert_eq!(model.answered(), Some(vec![]));
}

#[test]
fn an_inbox_that_cannot_be_read_is_unavailable_and_not_empty() {
    let mut model = Model::new(64, [4]);
    model.fails();
    assert!(model.reading.is_some() && model.answer.is_none(), "it is tried again");
    model.time_is_up();
    model.fails();
    assert_eq!(model.answer, Some(Answer::Unavailable));
    let mut model = Model::new(64, [4]);
    model.wait.give_up();
    model.goes_on();
    assert_eq!(model.answer, Some(Answer::Unavailable));
    // Where it was read before, the leader may be away.
    let mut model = Model::new(64, []);
    model.reads();
    model.time_is_up();
    model.fails();
    assert_eq!(model.answered(), Some(vec![]));
}

#[test]
fn what_cannot_be_read_is_put_aside_and_the_wait_goes_on() {
    let mut wait = Wait::new(64);
    let mut work = Vec::new();
    assert_eq!(wait.next(&mut work), None);
    let bad = Entry { seq: 3, stored: Bytes::from_static(b"{\"x\":1}") };
    wait.page(Some(Page { entries: vec![bad.clone()], end: true }));
    work.clear();
    assert_eq!(wait.next(&mut work), None);
    assert_eq!(work, [Work::Bury(bad)]);
    wait.live(vec![Live { entry: entry(4), previous: 3 }], false);
    assert_eq!(seqs(&wait.next(&mut work).unwrap()), [4]);
}

#[derive(Debug, Clone)]
enum Step {
    Store { told: bool },
    Shown,
    Reads,
    Fails,
    Lost,
    TimeIsUp,
}

proptest! {
    /// Whatever is lost and lags: an answer is the beginning of the inbox, and
    /// an empty one is given only when the leader has nothing.
    #[test]
    fn an_answer_is_the_beginning_of_the_inbox(
        limit in 1usize..5,
        stored in 0u64..4,
        steps in proptest::collection::vec(prop_oneof![
            3 => any::<bool>().prop_map(|told| Step::Store { told }),
            2 => Just(Step::Shown),
            4 => Just(Step::Reads),
            1 => Just(Step::Fails),
            1 => Just(Step::Lost),
            1 => Just(Step::TimeIsUp),
        ], 0..30),
    ) {
        let mut model = Model::new(limit, (0..stored).map(|n| 10 + n));
        let mut next = 100;
        let end = [Step::TimeIsUp, Step::Reads, Step::Reads, Step::Reads, Step::Reads];
        for step in steps.into_iter().chain(end) {
            if model.answer.is_some() {
                break;
            }
            match step {
                Step::Store { told } => {
                    next += 1;
                    model.stores(next, told);
                }
                Step::Shown => model.shown = model.stored.len(),
                Step::Reads => model.reads(),
                Step::Fails => model.fails(),
                Step::Lost => {
                    model.wait.live(Vec::new(), true);
                    model.goes_on();
                }
                Step::TimeIsUp => model.time_is_up(),
            }
        }
        match model.answer.as_ref() {
            Some(Answer::Items(_)) => {
                let answered = model.answered().unwrap();
                prop_assert!(answered.len() <= limit);
                prop_assert_eq!(&answered, &model.stored[..answered.len()]);
                if answered.is_empty() && let Some(told) = model.told_by_leader {
                    prop_assert_eq!(told, Vec::<u64>::new());
                }
            }
            Some(Answer::Unavailable) => {}
            None => prop_assert!(false, "no answer"),
        }
    }
}
