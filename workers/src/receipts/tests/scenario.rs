//! What happened to a few people, and what must come of it.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use schemas::{
    ChatId, DeviceId, GroupId, Micros, UserId,
    event::{Acked, Mark, MarkedRead, ReadMark, ReceiptsBatch},
};

use super::world::{Entry, World};
use crate::receipts::fold::{InboxKey, ReadKey, ReceiptKey};

const USERS: u8 = 3;
const DEVICES: u8 = 2;

/// Messages in inboxes, and the events that their devices cause.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) inboxes: HashMap<InboxKey, BTreeMap<u64, Entry>>,
    pub(super) events: Vec<ReceiptsBatch>,
    receipts: HashMap<ReceiptKey, Truth>,
    reads: HashMap<ReadKey, BTreeMap<UserId, Bounds>>,
}

/// What a watermark must be in the end.
#[derive(Debug, Clone, Copy, Default)]
struct Truth {
    delivered: Micros,
    read: Bounds,
}

/// Where a read mark may end. A mark that its own socket did not acknowledge
/// counts as far as an acknowledgement was known when it came, and which came
/// first is open: so far at least, and not further than delivered.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    at_least: Micros,
    at_most: Micros,
}

impl Bounds {
    fn add(&mut self, mark: ReadMark) {
        self.at_least = self.at_least.max(mark.read.min(mark.acked));
        self.at_most = self.at_most.max(mark.read);
    }

    fn assert_holds(self, what: &str, read: Micros, delivered: Micros) {
        let at_most = self.at_most.min(delivered).max(self.at_least);
        assert!((self.at_least..=at_most).contains(&read), "{what}: {read:?} is not in {self:?}");
    }
}

/// One message: who writes, where, when.
#[derive(Debug, Clone, Copy)]
struct Message {
    from: UserId,
    to: ChatId,
    ts: Micros,
}

/// A mark that one device makes on one sender's messages.
#[derive(Debug, Clone, Copy)]
struct Reading {
    user: u8,
    device: u8,
    of: usize,
    read: Micros,
    /// The gateway remembers what the socket acknowledged.
    proven: bool,
    public: bool,
}

impl Scenario {
    fn new(messages: &[Message], cuts: &[Vec<usize>], readings: &[Reading]) -> Self {
        let mut scenario = Self {
            inboxes: HashMap::new(),
            events: Vec::new(),
            receipts: HashMap::new(),
            reads: HashMap::new(),
        };
        let everybody =
            (0..USERS).flat_map(|user| (0..DEVICES).map(move |device| inbox(user, device)));
        let mut acked = HashMap::new();
        for (inbox, cuts) in everybody.zip(cuts) {
            acked.insert(inbox, scenario.deliver(inbox, messages, cuts));
        }
        for reading in readings {
            let Some(message) = messages.get(reading.of) else { continue };
            let acked = &acked[&inbox(reading.user, reading.device)];
            scenario.read(*reading, *message, acked);
        }
        scenario
    }

    /// Fills an inbox and acknowledges it piece by piece; what lies behind the
    /// last cut stays. Gives the newest acknowledged message of each sender.
    fn deliver(
        &mut self,
        inbox: InboxKey,
        messages: &[Message],
        cuts: &[usize],
    ) -> HashMap<(ChatId, UserId), Micros> {
        let delivered: Vec<(u64, ChatId, Message)> = (1..)
            .zip(messages)
            .filter_map(|(seq, message)| Some((seq, message.chat_of(inbox.user)?, *message)))
            .collect();
        let end = cuts.iter().copied().max().unwrap_or(0).min(delivered.len());
        let entries = delivered.iter().enumerate().map(|(place, (seq, chat, message))| {
            let receipt = receipt_key(inbox.user, *chat, message.from);
            (*seq, Entry { receipt, ts: message.ts, acked: place < end })
        });
        self.inboxes.insert(inbox, entries.collect());

        let mut newest = HashMap::new();
        let mut from = 0;
        for cut in cuts {
            // A cut that lies further back is a reconnect: those come again.
            let piece = &delivered[from.min(*cut).min(end)..(*cut).min(end)];
            from = *cut;
            self.acknowledge(inbox, piece, &mut newest);
        }
        newest
    }

    fn acknowledge(
        &mut self,
        inbox: InboxKey,
        piece: &[(u64, ChatId, Message)],
        newest: &mut HashMap<(ChatId, UserId), Micros>,
    ) {
        let mut marks: HashMap<(ChatId, UserId), Micros> = HashMap::new();
        for (_, chat, message) in piece {
            let mark = marks.entry((*chat, message.from)).or_default();
            *mark = message.ts.max(*mark);
        }
        for ((chat, from), ts) in &marks {
            let known = newest.entry((*chat, *from)).or_default();
            *known = (*ts).max(*known);
            if let Some(key) = receipt_key(inbox.user, *chat, *from) {
                let truth = self.receipts.entry(key).or_default();
                truth.delivered = truth.delivered.max(*ts);
            }
        }
        let marks = marks.into_iter().map(|((chat, from), ts)| Mark { chat, from, ts });
        let acked = Acked {
            user: inbox.user,
            device: inbox.device,
            seqs: piece.iter().map(|(seq, ..)| *seq).collect(),
            marks: marks.collect(),
        };
        self.events.push(ReceiptsBatch { acked: vec![acked], read: vec![] });
    }

    fn read(
        &mut self,
        reading: Reading,
        message: Message,
        acked: &HashMap<(ChatId, UserId), Micros>,
    ) {
        let reader = user(reading.user);
        let Some(chat) = message.chat_of(reader) else { return };
        let proof = acked.get(&(chat, message.from)).filter(|_| reading.proven);
        let mark = ReadMark { read: reading.read, acked: proof.copied().unwrap_or_default() };
        if let Some(key) = receipt_key(reader, chat, message.from) {
            let truth = self.receipts.entry(key).or_default();
            if reading.public {
                truth.read.add(mark);
            }
            let reads = self.reads.entry(ReadKey { user: reader, chat }).or_default();
            reads.entry(message.from).or_default().add(mark);
        }
        let read = MarkedRead {
            user: reader,
            device: device(reading.user, reading.device),
            chat,
            marks: BTreeMap::from([(message.from, mark)]),
            public: reading.public,
        };
        self.events.push(ReceiptsBatch { acked: vec![], read: vec![read] });
    }

    /// Everything is as it must be, and nothing else is there.
    pub(super) fn assert_end(&self, world: &World) {
        for (key, truth) in &self.receipts {
            let end = world.watermark(key);
            assert_eq!(end.delivered, truth.delivered, "{key:?}");
            truth.read.assert_holds(&key.subject(), end.read, truth.delivered);
        }
        for (key, senders) in &self.reads {
            let end = world.read_marks(&key.subject());
            for (from, bounds) in senders {
                let read = end.marks.get(from).copied().unwrap_or_default();
                let delivered = self.receipts[&key.watermark(*from)].delivered;
                bounds.assert_holds(&key.subject(), read, delivered);
            }
            if let Some(device) = end.device {
                self.assert_made_by(device, key, &end.marks);
            }
        }
        let receipts = self.receipts.keys().map(ReceiptKey::subject);
        let reads = self.reads.keys().map(ReadKey::subject);
        let known: Vec<String> = receipts.chain(reads).collect();
        for key in world.keys() {
            assert!(known.contains(&key), "{key} is owed to nobody");
        }
        for (inbox, entries) in &self.inboxes {
            let unacked = entries.iter().filter(|(_, entry)| !entry.acked);
            assert_eq!(world.left(inbox), unacked.map(|(seq, _)| *seq).collect::<Vec<_>>());
        }
    }

    fn assert_made_by(&self, device: DeviceId, key: &ReadKey, marks: &BTreeMap<UserId, Micros>) {
        let claims = || self.events.iter().flat_map(|event| &event.read);
        for (from, mark) in marks {
            let made = claims().any(|read| {
                read.device == device
                    && (read.user, read.chat) == (key.user, key.chat)
                    && read.marks.get(from).is_some_and(|claimed| claimed.read >= *mark)
            });
            assert!(made, "{key:?} names a device that did not read so far");
        }
    }
}

impl Message {
    /// The chat as this user sees it, if the user has a part in it.
    fn chat_of(&self, reader: UserId) -> Option<ChatId> {
        match self.to {
            ChatId::Group(_) => Some(self.to),
            ChatId::User(_) if reader == self.from => Some(self.to),
            ChatId::User(to) => (reader == to).then_some(ChatId::User(self.from)),
        }
    }
}

/// Said once more in the test's own words: one's own copies are no delivery.
fn receipt_key(reader: UserId, chat: ChatId, from: UserId) -> Option<ReceiptKey> {
    let note_to_self = chat == ChatId::User(reader);
    if from == reader && !note_to_self {
        return None;
    }
    let seen_by_sender = match chat {
        ChatId::User(_) => ChatId::User(reader),
        ChatId::Group(_) => chat,
    };
    Some(ReceiptKey { sender: from, chat: seen_by_sender, reader })
}

fn user(n: u8) -> UserId {
    UserId::from_parts(1, u128::from(n) + 1)
}

fn device(user: u8, n: u8) -> DeviceId {
    DeviceId::from_parts(u64::from(user) + 1, u128::from(n) + 1)
}

fn inbox(user_number: u8, n: u8) -> InboxKey {
    InboxKey { user: user(user_number), device: device(user_number, n) }
}

prop_compose! {
    fn messages()(
        drafts in prop::collection::vec((0..USERS, 0..=USERS, 1..30i64), 1..30),
    ) -> Vec<Message> {
        let group = ChatId::Group(GroupId::from_parts(1, 1));
        let to = |n| if n == USERS { group } else { ChatId::User(user(n)) };
        let message = |(from, chat, ts)| Message { from: user(from), to: to(chat), ts: Micros(ts) };
        drafts.into_iter().map(message).collect()
    }
}

prop_compose! {
    fn readings()(
        drafts in prop::collection::vec(
            (0..USERS, 0..DEVICES, 0..30usize, 1..40i64, any::<bool>(), any::<bool>()),
            0..12,
        ),
    ) -> Vec<Reading> {
        let reading = |(user, device, of, read, proven, public)| {
            Reading { user, device, of, read: Micros(read), proven, public }
        };
        drafts.into_iter().map(reading).collect()
    }
}

prop_compose! {
    /// Scenarios with their events in any order and many of them twice.
    pub(super) fn scenarios()(
        messages in messages(),
        cuts in prop::collection::vec(
            prop::collection::vec(0..30usize, 0..5),
            usize::from(USERS * DEVICES),
        ),
        readings in readings(),
    )(
        scenario in Just(Scenario::new(&messages, &cuts, &readings)),
        order in Just((0..2 * Scenario::new(&messages, &cuts, &readings).events.len()).collect::<Vec<_>>())
            .prop_shuffle(),
        repeated in 0..=1usize,
    ) -> Scenario {
        let events = scenario.events.clone();
        let keep = events.len() * (1 + repeated);
        let order = order.into_iter().filter(|place| *place < keep);
        Scenario { events: order.map(|place| events[place % events.len()].clone()).collect(), ..scenario }
    }
}
