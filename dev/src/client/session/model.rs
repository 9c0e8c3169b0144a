//! The session against a model of the server, over a line that breaks at any
//! point: nothing lost, each message shown once, in order, and the same at
//! both ends.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use proptest::prelude::*;
use schemas::{
    Body, ChatId, DeviceId, ErrorCode, MessageId, Micros, Millis, RawBody, UserId, client, http,
    server::{self, Item, Limits, Receipt, Sent, Welcome},
};

use super::{Action, Event, Renewal, Saved, Session};
use crate::client::timeline::{Place, Timeline};

const PEOPLE: usize = 3;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Somebody writes to somebody.
    Write { who: usize, to: usize },
    /// The server reads a few frames of somebody's.
    Up { who: usize, frames: usize },
    /// Somebody reads a few frames of the server's.
    Down { who: usize, frames: usize },
    /// Somebody's user stores what was shown.
    Store { who: usize },
    /// Somebody gives up one of the messages that wait.
    GiveUp { who: usize, nth: usize },
    /// A line breaks; what was on its way is lost.
    Break { who: usize, code: Option<u16> },
    /// A line goes dead without a word.
    Dead { who: usize },
    /// The gateway of somebody wants them to leave.
    Drain { who: usize },
    /// The server refuses somebody's next message.
    Refuse { who: usize, code: ErrorCode },
    /// The dedupe window passes.
    Forget,
    /// Somebody's process dies and starts from what it saved.
    Restart { who: usize },
    /// Time passes.
    Wait { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..PEOPLE;
    let code = prop_oneof![Just(None), Just(Some(1001)), Just(Some(1013)), Just(Some(4401))];
    let refusal = prop_oneof![
        Just(ErrorCode::RateLimited),
        Just(ErrorCode::Unavailable),
        Just(ErrorCode::InboxFull),
        Just(ErrorCode::NotFound)
    ];
    let step = prop_oneof![
        12 => (who.clone(), who.clone()).prop_map(|(who, to)| Step::Write { who, to }),
        20 => (who.clone(), 1..6usize).prop_map(|(who, frames)| Step::Up { who, frames }),
        20 => (who.clone(), 1..6usize).prop_map(|(who, frames)| Step::Down { who, frames }),
        6 => who.clone().prop_map(|who| Step::Store { who }),
        1 => (who.clone(), 0..3usize).prop_map(|(who, nth)| Step::GiveUp { who, nth }),
        4 => (who.clone(), code).prop_map(|(who, code)| Step::Break { who, code }),
        1 => who.clone().prop_map(|who| Step::Dead { who }),
        1 => who.clone().prop_map(|who| Step::Drain { who }),
        2 => (who.clone(), refusal).prop_map(|(who, code)| Step::Refuse { who, code }),
        1 => Just(Step::Forget),
        1 => who.prop_map(|who| Step::Restart { who }),
        8 => (0..1_000u64).prop_map(|ms| Step::Wait { ms }),
    ];
    proptest::collection::vec(step, 1..400)
}

/// The server: inboxes that remember what is not acknowledged.
#[derive(Default)]
struct Server {
    inboxes: HashMap<UserId, Vec<Item>>,
    last_seq: u64,
    deduped: HashSet<(UserId, UserId, MessageId)>,
    receipts: HashMap<UserId, BTreeMap<UserId, Receipt>>,
    last_rev: u64,
    stamps: HashMap<(UserId, MessageId), (Option<Micros>, Option<Micros>)>,
    stored: HashMap<(UserId, MessageId), Micros>,
    refused: HashMap<(UserId, MessageId), ErrorCode>,
}

/// One connection, as both ends see it.
#[derive(Default)]
struct Line {
    open: bool,
    dead: bool,
    greeted: bool,
    up: VecDeque<client::Frame>,
    down: VecDeque<server::Frame>,
    told: Vec<Item>,
    held: HashMap<ChatId, (MessageId, ErrorCode)>,
    welcomed: bool,
}

struct Person {
    user: UserId,
    session: Session,
    line: Line,
    refuse_next: Option<ErrorCode>,
    tokens: u64,
    written: Vec<(UserId, MessageId)>,
    given_up: HashSet<MessageId>,
    confirmed: HashMap<MessageId, Micros>,
    shown: Vec<Item>,
    stored: usize,
    /// What this process has shown, and up to which position.
    shown_here: HashSet<(UserId, MessageId)>,
    told_seq: u64,
    timelines: HashMap<ChatId, Timeline<()>>,
    delivered: HashMap<UserId, Micros>,
}

struct World {
    start: Instant,
    now: Instant,
    server: Server,
    people: Vec<Person>,
    ids: u64,
}

fn user(n: usize) -> UserId {
    UserId::from_parts(n as u64 + 1, 0)
}

fn tokens(user: UserId, n: u64) -> http::Session {
    http::Session {
        user,
        device: DeviceId::from_parts(1, 0),
        access_token: format!("access-{n}"),
        expires_in: 60,
        refresh_token: format!("refresh-{n}"),
    }
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let people = (0..PEOPLE)
            .map(|n| Person {
                user: user(n),
                session: Session::new(now, tokens(user(n), 0), Saved::default(), 2, n as u64),
                line: Line::default(),
                refuse_next: None,
                tokens: 0,
                written: Vec::new(),
                given_up: HashSet::new(),
                confirmed: HashMap::new(),
                shown: Vec::new(),
                stored: 0,
                shown_here: HashSet::new(),
                told_seq: 0,
                timelines: HashMap::new(),
                delivered: HashMap::new(),
            })
            .collect();
        let mut world = Self { start: now, now, server: Server::default(), people, ids: 0 };
        (0..PEOPLE).for_each(|who| world.act(who));
        world
    }

    fn clock(&self) -> Micros {
        Micros(1_700_000_000_000_000).plus(self.now - self.start)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write { who, to } => self.write(who, to),
            Step::Up { who, frames } => (0..frames).for_each(|_| self.up(who)),
            Step::Down { who, frames } => (0..frames).for_each(|_| self.down(who)),
            Step::Store { who } => self.store(who),
            Step::GiveUp { who, nth } => self.give_up(who, nth),
            Step::Break { who, code } => self.break_line(who, code),
            Step::Dead { who } => self.people[who].line.dead = self.people[who].line.open,
            Step::Drain { who } => {
                let line = &mut self.people[who].line;
                if line.greeted {
                    line.down.push_back(server::Frame::Drain { after_ms: 300 });
                }
            }
            Step::Refuse { who, code } => self.people[who].refuse_next = Some(code),
            Step::Forget => self.server.deduped.clear(),
            Step::Restart { who } => self.restart(who),
            Step::Wait { ms } => self.wait(Duration::from_millis(ms)),
        }
    }

    fn write(&mut self, who: usize, to: usize) {
        self.ids += 1;
        let id: MessageId = format!("m{}", self.ids).parse().unwrap();
        let body = RawBody::from(&Body::Text { text: id.to_string() });
        let person = &mut self.people[who];
        person.session.send(self.now, id.clone(), ChatId::User(user(to)), body).unwrap();
        person.written.push((user(to), id));
        self.act(who);
    }

    fn give_up(&mut self, who: usize, nth: usize) {
        let person = &mut self.people[who];
        let unsent = person.session.saved().unsent;
        let Some(id) = unsent.into_iter().nth(nth).map(|unsent| unsent.id) else { return };
        if person.session.drop_send(self.now, &id) {
            person.given_up.insert(id);
        }
        self.act(who);
    }

    fn store(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.stored = person.shown.len();
        person.session.stored(person.told_seq);
        self.act(who);
    }

    fn break_line(&mut self, who: usize, code: Option<u16>) {
        if self.people[who].line.open {
            // Fresh tokens that are refused at once would be the end, rightly.
            let code = code.filter(|code| *code != 4401 || self.people[who].line.welcomed);
            self.people[who].line = Line::default();
            self.people[who].session.closed(self.now, code);
            self.act(who);
        }
    }

    fn restart(&mut self, who: usize) {
        let person = &mut self.people[who];
        // Only what is stored survives: the screen is drawn anew from it.
        person.shown.truncate(person.stored);
        person.shown_here.clear();
        person.told_seq = 0;
        let saved = person.session.saved();
        let saved = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
        person.line = Line::default();
        person.tokens += 1;
        let pair = tokens(person.user, person.tokens);
        person.session = Session::new(self.now, pair, saved, 2, self.ids);
        self.act(who);
    }

    fn wait(&mut self, by: Duration) {
        self.now += by;
        for who in 0..PEOPLE {
            self.people[who].session.tick(self.now);
            self.act(who);
        }
    }

    /// Does what the session wants.
    fn act(&mut self, who: usize) {
        while let Some(action) = self.people[who].session.next_action() {
            let person = &mut self.people[who];
            match action {
                Action::Connect { .. } => {
                    assert!(!person.line.open, "one socket at a time");
                    person.line = Line { open: true, ..Line::default() };
                    person.session.connected(self.now);
                }
                Action::Write(frame) => {
                    assert!(person.line.open, "a write needs a socket");
                    person.line.up.push_back(frame);
                }
                Action::Disconnect => person.line = Line::default(),
                Action::Renew { .. } => {
                    person.tokens += 1;
                    let pair = tokens(person.user, person.tokens);
                    person.session.renewed(self.now, Renewal::Renewed(pair));
                }
                Action::Tell(event) => person.told(event),
            }
        }
    }

    fn down(&mut self, who: usize) {
        let person = &mut self.people[who];
        if person.line.dead {
            return;
        }
        if let Some(frame) = person.line.down.pop_front() {
            person.session.frame(self.now, frame);
            self.act(who);
        }
    }

    fn up(&mut self, who: usize) {
        let person = &mut self.people[who];
        if person.line.dead {
            return;
        }
        let Some(frame) = person.line.up.pop_front() else { return };
        match frame {
            client::Frame::Hello(hello) => self.hello(who, &hello),
            client::Frame::Send(send) => self.send(who, send),
            client::Frame::Ack(ack) => self.ack(who, ack.seq),
            client::Frame::Drop(drop) => {
                person.line.held.retain(|_, (id, _)| *id != drop.id);
            }
            client::Frame::Ping {} => {
                let now = Millis::from(self.clock());
                self.people[who].line.down.push_back(server::Frame::Pong { now });
            }
            _ => {}
        }
    }

    fn hello(&mut self, who: usize, hello: &client::Hello) {
        let now = Millis::from(self.clock());
        let person = &mut self.people[who];
        assert!(!person.line.greeted, "one hello per socket");
        person.line.greeted = true;
        let down = &mut person.line.down;
        down.push_back(server::Frame::Welcome(Welcome {
            user: person.user,
            device: DeviceId::from_parts(1, 0),
            session: String::new(),
            gateway: String::new(),
            now,
            heartbeat_secs: 25,
            limits: Limits::V1,
        }));
        let receipts = self.server.receipts.entry(person.user).or_default().values();
        let items: Vec<_> =
            receipts.filter(|receipt| receipt.rev > hello.receipts_after).copied().collect();
        if !items.is_empty() {
            down.push_back(server::Frame::Receipts { items });
        }
        let backlog = self.server.inboxes.entry(person.user).or_default().clone();
        for items in backlog.chunks(3) {
            down.push_back(server::Frame::Messages { items: items.to_vec() });
        }
        person.line.told = backlog;
        down.push_back(server::Frame::CaughtUp {});
    }

    fn send(&mut self, who: usize, send: client::Send) {
        let clock = self.clock();
        let person = &mut self.people[who];
        let key = (person.user, send.id.clone());
        let stamp = *self.server.stamps.entry(key.clone()).or_insert((send.at, send.after));
        assert_eq!(stamp, (send.at, send.after), "a retry keeps its stamp");

        let held = person.line.held.get(&send.chat);
        let refusal = match held {
            Some((id, code)) if *id != send.id => Some(*code),
            _ => self.server.refused.get(&key).copied().or_else(|| person.refuse_next.take()),
        };
        // A message that is stored is not refused for good later, and one that
        // is refused for good is not stored later.
        let is_stored = self.server.stored.contains_key(&key);
        let refusal = refusal.filter(|code| code.holds_chat() || !is_stored);
        if let Some(code) = refusal.filter(|code| !code.holds_chat()) {
            self.server.refused.insert(key.clone(), code);
        }
        if person.line.held.get(&send.chat).is_some_and(|(id, _)| *id == send.id) {
            person.line.held.remove(&send.chat);
        }
        if let Some(code) = refusal {
            if code.holds_chat() {
                person.line.held.entry(send.chat).or_insert((send.id.clone(), code));
            }
            person.line.down.push_back(server::Frame::Error(server::Error {
                code,
                message: String::new(),
                reference: Some(send.id.to_string()),
                retry_after_ms: Some(200),
            }));
            return;
        }

        let ts = send.at.unwrap_or(clock).max(send.after.map_or(Micros(0), Micros::next));
        person.line.down.push_back(server::Frame::Sent(Sent {
            id: send.id.clone(),
            chat: send.chat,
            ts,
            full: Vec::new(),
        }));
        let from = person.user;
        let ChatId::User(to) = send.chat else { unreachable!("nobody writes to groups here") };
        self.server.stored.insert(key, ts);
        if !self.server.deduped.insert((to, from, send.id.clone())) {
            return;
        }
        self.server.last_seq += 1;
        let item = Item {
            seq: self.server.last_seq,
            id: send.id,
            chat: ChatId::User(from),
            from,
            ts,
            after: send.after,
            body: send.body,
        };
        self.server.inboxes.entry(to).or_default().push(item.clone());
        let reader = self.people.iter_mut().find(|person| person.user == to).unwrap();
        if reader.line.greeted {
            reader.line.told.push(item.clone());
            reader.line.down.push_back(server::Frame::Messages { items: vec![item] });
        }
    }

    fn ack(&mut self, who: usize, seq: u64) {
        let person = &mut self.people[who];
        let acked: Vec<Item> =
            person.line.told.iter().filter(|it| it.seq <= seq).cloned().collect();
        person.line.told.retain(|item| item.seq > seq);
        for item in &acked {
            let stored = person.shown[..person.stored].iter();
            assert!(
                stored.clone().any(|it| (it.from, &it.id) == (item.from, &item.id)),
                "{} is acknowledged and not stored",
                item.id
            );
        }
        let reader = person.user;
        let inbox = self.server.inboxes.entry(reader).or_default();
        inbox.retain(|item| !acked.iter().any(|gone| gone.seq == item.seq));
        for item in acked {
            self.server.last_rev += 1;
            let of_sender = self.server.receipts.entry(item.from).or_default();
            let receipt = of_sender.entry(reader).or_insert(Receipt {
                chat: ChatId::User(reader),
                user: reader,
                delivered: Micros(0),
                read: Micros(0),
                rev: 0,
            });
            receipt.delivered = receipt.delivered.max(item.ts);
            receipt.rev = self.server.last_rev;
            let receipt = *receipt;
            let sender = self.people.iter_mut().find(|person| person.user == item.from).unwrap();
            if sender.line.greeted {
                sender.line.down.push_back(server::Frame::Receipts { items: vec![receipt] });
            }
        }
    }

    /// No more faults: everything that is under way arrives.
    fn settle(&mut self) {
        const ROUNDS: usize = 400;
        for person in &mut self.people {
            person.refuse_next = None;
        }
        for _ in 0..ROUNDS {
            for who in 0..PEOPLE {
                for _ in 0..64 {
                    self.up(who);
                    self.down(who);
                }
                self.store(who);
            }
            self.wait(Duration::from_millis(500));
            let quiet = self.people.iter().all(|person| {
                person.line.greeted
                    && !person.line.dead
                    && person.session.saved().unsent.is_empty()
                    && person.line.up.is_empty()
                    && person.line.down.is_empty()
            });
            if quiet && self.server.inboxes.values().all(Vec::is_empty) {
                return;
            }
        }
        panic!("does not come to rest");
    }

    fn check(&self) {
        for sender in &self.people {
            let lost: HashSet<_> =
                sender.given_up.iter().filter(|id| !sender.confirmed.contains_key(*id)).collect();
            for (_, id) in &sender.written {
                let stored = self.server.stored.contains_key(&(sender.user, id.clone()));
                assert!(
                    lost.contains(id) || sender.confirmed.contains_key(id),
                    "{id} is neither confirmed nor refused nor given up"
                );
                assert!(
                    stored || !sender.confirmed.contains_key(id),
                    "{id} is confirmed, not stored"
                );
            }
            for reader in &self.people {
                self.check_pair(sender, reader);
            }
        }
    }

    fn check_pair(&self, sender: &Person, reader: &Person) {
        let stored =
            |id: &&MessageId| self.server.stored.contains_key(&(sender.user, (*id).clone()));
        let written: Vec<&MessageId> = sender
            .written
            .iter()
            .filter(|(to, _)| *to == reader.user)
            .map(|(_, id)| id)
            .filter(stored)
            .collect();
        let from_sender = |item: &&Item| item.from == sender.user;
        let shown: Vec<&MessageId> =
            reader.shown.iter().filter(from_sender).map(|item| &item.id).collect();
        assert_eq!(shown, written, "each once, in the order it was written");

        let places = |person: &Person, chat: UserId| -> Vec<Place> {
            let timeline = person.timelines.get(&ChatId::User(chat));
            let places = timeline.iter().flat_map(|timeline| timeline.iter());
            places.map(|(place, ())| place.clone()).filter(|p| p.from == sender.user).collect()
        };
        let here = places(reader, sender.user);
        let order: Vec<&MessageId> = here.iter().map(|place| &place.id).collect();
        assert_eq!(order, written, "the order is that of writing");
        let there = places(sender, reader.user);
        // What was given up unconfirmed may be stored, which its sender cannot know.
        let confirmed = |place: &&Place| sender.confirmed.contains_key(&place.id);
        let known: Vec<&Place> = here.iter().filter(confirmed).collect();
        assert_eq!(
            known,
            there.iter().filter(confirmed).collect::<Vec<_>>(),
            "both ends show the same"
        );
        let last = here.last().map(|place| place.ts);
        assert_eq!(sender.delivered.get(&reader.user).copied(), last, "the last tick");
    }
}

impl Person {
    fn told(&mut self, event: Event) {
        match event {
            Event::Message(item) => {
                let key = (item.from, item.id.clone());
                self.told_seq = self.told_seq.max(item.seq);
                assert!(self.shown_here.insert(key), "{} is shown twice", item.id);
                // What an earlier process stored is on the screen already.
                if self.shown.iter().any(|it| (it.from, &it.id) == (item.from, &item.id)) {
                    return;
                }
                self.timelines.entry(item.chat).or_default().insert(Place::from(&item), ());
                self.shown.push(item);
            }
            Event::Sent(sent) => {
                let place = Place { ts: sent.ts, from: self.user, id: sent.id.clone() };
                self.timelines.entry(sent.chat).or_default().insert(place, ());
                let again = self.confirmed.insert(sent.id.clone(), sent.ts);
                assert_eq!(again, None, "{} is confirmed twice", sent.id);
            }
            Event::Refused { id, code, .. } => {
                assert_eq!(code, ErrorCode::NotFound);
                self.given_up.insert(id);
            }
            Event::Receipts(items) => {
                for item in items {
                    let delivered = self.delivered.entry(item.user).or_default();
                    *delivered = item.delivered.max(*delivered);
                }
            }
            Event::Online { .. } => self.line.welcomed = true,
            Event::Stopped(reason) => panic!("stopped: {reason}"),
            Event::Error(error) => panic!("an error about nothing: {error:?}"),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_whatever_breaks(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.settle();
        world.check();
    }
}
