//! What a chat knows, without I/O: who said what, how far it got, who is there.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use schemas::{
    ChatId, MessageId, Micros, UserId,
    server::{Item, Receipt},
};

use super::text;
use crate::client::{Event, Place, Tick, Timeline, Unsent, Watermarks};

/// Typing that is not renewed ends.
const TYPING_ENDS: Duration = Duration::from_secs(6);

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Model {
    me: UserId,
    names: HashMap<UserId, String>,
    chats: BTreeMap<ChatId, Chat>,
    current: Option<ChatId>,
    link: Link,
    watermarks: Watermarks,
    typing: HashMap<(ChatId, UserId), Instant>,
    notes: VecDeque<Note>,
    effects: VecDeque<Effect>,
    nameless: Vec<UserId>,
}

/// What there is to tell, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// Somebody said something.
    Said {
        /// Who.
        from: UserId,
        /// What.
        text: String,
    },
    /// One's own message got further.
    Ticked {
        /// What it said.
        text: String,
        /// How far.
        tick: Tick,
    },
    /// Something a person should know.
    Info(String),
}

/// What follows from what was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Messages up to this inbox position are safe here.
    Stored(u64),
    /// Messages were read.
    Read(ChatId, UserId, Micros),
}

/// How it stands with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// Not yet.
    Connecting,
    /// All is well.
    Online,
    /// It is tried again.
    Waiting {
        /// When.
        until: Instant,
    },
}

/// A message as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown<'a> {
    /// Who said it.
    pub(super) name: &'a str,
    /// Whether that was oneself.
    pub(super) mine: bool,
    /// What was said.
    pub(super) text: &'a str,
    /// How far one's own got; `None` while it waits to be sent.
    pub(super) tick: Option<Tick>,
}

#[derive(Debug, Default)]
struct Chat {
    said: Timeline<Said>,
    waiting: VecDeque<(MessageId, String)>,
    unread: usize,
}

#[derive(Debug)]
struct Said {
    text: String,
    told: Option<Tick>,
}

impl Model {
    /// A chat of `me`, with what an earlier session could not send.
    pub(super) fn new(me: UserId, my_name: &str, unsent: &[Unsent]) -> Self {
        let mut model = Self {
            me,
            names: HashMap::from([(me, my_name.to_owned())]),
            chats: BTreeMap::new(),
            current: None,
            link: Link::Connecting,
            watermarks: Watermarks::default(),
            typing: HashMap::new(),
            notes: VecDeque::new(),
            effects: VecDeque::new(),
            nameless: Vec::new(),
        };
        for message in unsent {
            model.waits(message.id.clone(), message.chat, text::of(&message.body));
        }
        model
    }

    /// Takes in what the session tells.
    pub(super) fn apply(&mut self, now: Instant, event: Event) {
        match event {
            Event::Online { .. } => {
                self.link = Link::Online;
                self.inform("connected");
            }
            Event::Disconnected { retry_in, .. } => {
                let was_online = self.link == Link::Online;
                self.link = Link::Waiting { until: now + retry_in };
                self.typing.clear();
                if was_online {
                    self.inform("connection lost, reconnecting");
                }
            }
            Event::Message(item) => self.message(&item),
            Event::Sent(sent) => self.sent(sent.chat, &sent.id, sent.ts),
            Event::Refused { id, chat, message, .. } => {
                if let Some(text) = self.no_longer_waits(chat, &id) {
                    self.inform(&format!("not sent ({message}): {}", text::one_line(&text)));
                }
            }
            Event::Delayed { chat, code, .. } => {
                let name = self.chat_name(chat);
                self.inform(&format!("messages to {name} wait: {code}"));
            }
            Event::Receipts(items) => items.iter().for_each(|item| self.receipt(item)),
            Event::Typing { chat, from, on: true } => {
                self.typing.insert((chat, from), now + TYPING_ENDS);
            }
            Event::Typing { chat, from, on: false } => {
                self.typing.remove(&(chat, from));
            }
            Event::Error(error) => self.inform(&text::one_line(&error.message)),
            Event::Stopped(reason) => self.inform(&reason.to_string()),
            Event::CaughtUp | Event::ReadElsewhere(_) | Event::Presence(_) | Event::Tokens(_) => {}
        }
    }

    /// One's own message waits to be sent.
    pub(super) fn waits(&mut self, id: MessageId, chat: ChatId, text: String) {
        self.chats.entry(chat).or_default().waiting.push_back((id, text));
        self.want_name(chat);
    }

    /// The ids of the messages that wait in the current chat.
    pub(super) fn waiting(&self) -> Vec<MessageId> {
        let current = self.current.and_then(|chat| self.chats.get(&chat));
        current.iter().flat_map(|chat| &chat.waiting).map(|(id, _)| id.clone()).collect()
    }

    /// A message was given up.
    pub(super) fn given_up(&mut self, id: &MessageId) {
        if let Some(chat) = self.current {
            self.no_longer_waits(chat, id);
        }
    }

    /// Whether any message in any chat waits to be sent.
    pub(super) fn any_waits(&self) -> bool {
        self.chats.values().any(|chat| !chat.waiting.is_empty())
    }

    /// Talks to somebody from now on; what they said is read.
    pub(super) fn talk_to(&mut self, user: UserId, name: &str) {
        self.names.insert(user, name.to_owned());
        let chat = ChatId::User(user);
        self.current = Some(chat);
        let known = self.chats.entry(chat).or_default();
        known.unread = 0;
        if let Some(newest) = known.said.newest_of(user).filter(|_| user != self.me) {
            self.effects.push_back(Effect::Read(chat, user, newest));
        }
    }

    /// Somebody's name became known.
    pub(super) fn name(&mut self, user: UserId, name: String) {
        self.names.insert(user, name);
    }

    /// Those whose names are to be looked up, each told once.
    pub(super) fn take_nameless(&mut self) -> Vec<UserId> {
        std::mem::take(&mut self.nameless)
    }

    /// Something for the person.
    pub(super) fn inform(&mut self, what: &str) {
        self.notes.push_back(Note::Info(what.to_owned()));
    }

    /// The next thing to tell.
    pub(super) fn next_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    /// The next thing to do after all was shown.
    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The chat that is talked in.
    pub(super) fn current(&self) -> Option<ChatId> {
        self.current
    }

    /// How it stands with the server.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// One's own name.
    pub(super) fn my_name(&self) -> &str {
        self.user_name(self.me)
    }

    /// The name of a chat.
    pub(super) fn chat_name(&self, chat: ChatId) -> String {
        match chat {
            ChatId::User(user) if user == self.me => "yourself".into(),
            ChatId::User(user) => self.user_name(user).to_owned(),
            ChatId::Group(group) => group.to_string(),
        }
    }

    /// The messages of the current chat in order, those that wait at the end.
    pub(super) fn shown(&self) -> Vec<Shown<'_>> {
        let Some((chat, known)) = self.current.and_then(|it| Some((it, self.chats.get(&it)?)))
        else {
            return Vec::new();
        };
        let me = self.my_name();
        let said = known.said.iter().map(|(place, said)| {
            let mine = place.from == self.me;
            let tick = mine.then(|| self.tick(chat, place.ts));
            Shown { name: self.user_name(place.from), mine, text: &said.text, tick }
        });
        let waiting = known.waiting.iter();
        said.chain(waiting.map(|(_, text)| Shown { name: me, mine: true, text, tick: None }))
            .collect()
    }

    /// Who types in the current chat.
    pub(super) fn typing(&self, now: Instant) -> Vec<&str> {
        let here = |((chat, _), until): &(&(ChatId, UserId), &Instant)| {
            Some(*chat) == self.current && **until > now
        };
        self.typing.iter().filter(here).map(|((_, user), _)| self.user_name(*user)).collect()
    }

    /// The other chats in which something is unread.
    pub(super) fn unread(&self) -> Vec<(String, usize)> {
        let unread = self.chats.iter().filter(|(_, chat)| chat.unread > 0);
        unread.map(|(id, chat)| (self.chat_name(*id), chat.unread)).collect()
    }

    fn message(&mut self, item: &Item) {
        // Somebody who just listens gets to talk to the first who says something.
        let current = *self.current.get_or_insert(item.chat);
        let mine = item.from == self.me;
        let text = text::of(&item.body);
        let chat = self.chats.entry(item.chat).or_default();
        let said = Said { text: text.clone(), told: mine.then_some(Tick::Sent) };
        self.effects.push_back(Effect::Stored(item.seq));
        self.typing.remove(&(item.chat, item.from));
        if !chat.said.insert(Place::from(item), said) {
            return;
        }
        if !mine && current == item.chat {
            self.effects.push_back(Effect::Read(item.chat, item.from, item.ts));
        } else if !mine {
            chat.unread += 1;
        }
        self.want_name(ChatId::User(item.from));
        self.notes.push_back(Note::Said { from: item.from, text });
    }

    fn sent(&mut self, chat: ChatId, id: &MessageId, ts: Micros) {
        let Some(text) = self.no_longer_waits(chat, id) else { return };
        let place = Place { ts, from: self.me, id: id.clone() };
        let tick = self.tick(chat, ts);
        let said = Said { text: text.clone(), told: Some(tick) };
        self.chats.entry(chat).or_default().said.insert(place, said);
        self.notes.push_back(Note::Ticked { text, tick });
    }

    fn receipt(&mut self, receipt: &Receipt) {
        if !self.watermarks.join(receipt) {
            return;
        }
        let Some(chat) = self.chats.get_mut(&receipt.chat) else { return };
        for (place, said) in chat.said.iter_mut() {
            let tick = self.watermarks.tick(receipt.chat, receipt.user, place.ts);
            if said.told.is_some_and(|told| told < tick) {
                said.told = Some(tick);
                self.notes.push_back(Note::Ticked { text: said.text.clone(), tick });
            }
        }
    }

    fn tick(&self, chat: ChatId, ts: Micros) -> Tick {
        match chat {
            ChatId::User(user) => self.watermarks.tick(chat, user, ts),
            // A group has a mark per member; its members are not known here.
            ChatId::Group(_) => Tick::Sent,
        }
    }

    fn no_longer_waits(&mut self, chat: ChatId, id: &MessageId) -> Option<String> {
        let waiting = &mut self.chats.get_mut(&chat)?.waiting;
        let place = waiting.iter().position(|(waits, _)| waits == id)?;
        waiting.remove(place).map(|(_, text)| text)
    }

    fn want_name(&mut self, chat: ChatId) {
        if let ChatId::User(user) = chat
            && !self.names.contains_key(&user)
        {
            // Until it is known, the id is the name; and it is asked for once.
            self.names.insert(user, user.to_string());
            self.nameless.push(user);
        }
    }

    /// The name of a user, as far as it is known.
    pub(super) fn user_name(&self, user: UserId) -> &str {
        self.names.get(&user).map_or("somebody", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use schemas::{Body, RawBody, server::Sent};

    use super::*;

    fn user(n: u64) -> UserId {
        UserId::from_parts(n, 0)
    }

    fn chat(n: u64) -> ChatId {
        ChatId::User(user(n))
    }

    fn model() -> Model {
        Model::new(user(1), "alice", &[])
    }

    fn message(seq: u64, from: u64, ts: i64, text: &str) -> Event {
        Event::Message(Item {
            seq,
            id: format!("m{seq}").parse().unwrap(),
            chat: chat(from),
            from: user(from),
            ts: Micros(ts),
            after: None,
            body: RawBody::from(&Body::Text { text: text.into() }),
        })
    }

    fn apply(model: &mut Model, event: Event) -> (Vec<Note>, Vec<Effect>) {
        model.apply(Instant::now(), event);
        let notes = std::iter::from_fn(|| model.next_note()).collect();
        (notes, std::iter::from_fn(|| model.next_effect()).collect())
    }

    fn receipt(delivered: i64, read: i64) -> Event {
        let (delivered, read) = (Micros(delivered), Micros(read));
        Event::Receipts(vec![Receipt { chat: chat(2), user: user(2), delivered, read, rev: 1 }])
    }

    #[test]
    fn messages_stand_in_order_and_are_read_where_they_are_seen() {
        let mut model = model();
        model.talk_to(user(2), "bob");
        let (notes, effects) = apply(&mut model, message(1, 2, 20, "second"));
        assert_eq!(notes, [Note::Said { from: user(2), text: "second".into() }]);
        assert_eq!(effects, [Effect::Stored(1), Effect::Read(chat(2), user(2), Micros(20))]);
        apply(&mut model, message(2, 2, 10, "first"));
        let texts: Vec<_> = model.shown().iter().map(|shown| shown.text).collect();
        assert_eq!(texts, ["first", "second"]);

        let (_, effects) = apply(&mut model, message(3, 3, 30, "psst"));
        assert_eq!(effects, [Effect::Stored(3)], "not read unseen");
        assert_eq!(model.take_nameless(), [user(3)]);
        model.name(user(3), "carol".into());
        assert_eq!(model.unread(), [("carol".to_owned(), 1)]);
        model.talk_to(user(3), "carol");
        assert_eq!(model.next_effect(), Some(Effect::Read(chat(3), user(3), Micros(30))));
        assert_eq!(model.unread(), []);
    }

    #[test]
    fn ticks_turn_forward_only_and_each_is_told_once() {
        let mut model = model();
        model.talk_to(user(2), "bob");
        let id: MessageId = "x".parse().unwrap();
        model.waits(id.clone(), chat(2), "hi".into());
        assert!(model.any_waits());
        assert_eq!(model.shown()[0].tick, None);
        let sent = Sent { id, chat: chat(2), ts: Micros(10), full: Vec::new() };
        let (notes, _) = apply(&mut model, Event::Sent(sent.clone()));
        let ticked = |tick| Note::Ticked { text: "hi".into(), tick };
        assert_eq!(notes, [ticked(Tick::Sent)]);
        assert!(!model.any_waits());
        assert_eq!(apply(&mut model, Event::Sent(sent)).0, [], "told once");
        assert_eq!(apply(&mut model, receipt(9, 0)).0, []);
        assert_eq!(apply(&mut model, receipt(10, 0)).0, [ticked(Tick::Delivered)]);
        assert_eq!(apply(&mut model, receipt(10, 10)).0, [ticked(Tick::Read)]);
        assert_eq!(apply(&mut model, receipt(10, 0)).0, [], "never back");
        assert_eq!(model.shown()[0].tick, Some(Tick::Read));
    }

    #[test]
    fn who_types_is_shown_until_they_say_something_or_stop() {
        let mut model = model();
        model.talk_to(user(2), "bob");
        let typing = |on| Event::Typing { chat: chat(2), from: user(2), on };
        let now = Instant::now();
        model.apply(now, typing(true));
        assert_eq!(model.typing(now), ["bob"]);
        assert_eq!(model.typing(now + TYPING_ENDS), [""; 0]);
        model.apply(now, typing(false));
        assert_eq!(model.typing(now), [""; 0]);
        model.apply(now, typing(true));
        model.apply(now, message(1, 2, 1, "done"));
        assert_eq!(model.typing(now), [""; 0]);
    }

    #[test]
    fn the_first_to_say_something_is_talked_to() {
        let mut model = model();
        apply(&mut model, message(1, 2, 1, "hello"));
        assert_eq!(model.current(), Some(chat(2)));
        assert_eq!(model.shown().len(), 1);
    }
}
