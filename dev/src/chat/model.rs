//! What a chat knows, without I/O: who said what, how far it got, who is there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use schemas::{
    Body, ChatId, MessageId, Millis, UserId, body,
    http::Group,
    limits::WATCH_USERS,
    server::{Item, Receipt, Sent},
};

pub(super) use super::told::{Effect, Link, Note, Shown};
use super::{
    presence::Presences,
    rooms::{self, Rooms},
    text,
    transcript::{Chat, Said, What, tick},
};
use crate::client::{Event, Place, Tick, Unsent, Watermarks};

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Model {
    me: UserId,
    names: HashMap<UserId, String>,
    pub(super) rooms: Rooms,
    chats: BTreeMap<ChatId, Chat>,
    current: Option<ChatId>,
    watched: Vec<UserId>,
    link: Link,
    watermarks: Watermarks,
    presences: Presences,
    notes: VecDeque<Note>,
    effects: VecDeque<Effect>,
    nameless: Vec<UserId>,
}

impl Model {
    /// A chat of `me`, with what an earlier session could not send.
    pub(super) fn new(me: UserId, my_name: &str, unsent: &[Unsent]) -> Self {
        let mut model = Self {
            me,
            names: HashMap::from([(me, my_name.to_owned())]),
            rooms: Rooms::default(),
            chats: BTreeMap::new(),
            current: None,
            watched: Vec::new(),
            link: Link::Connecting,
            watermarks: Watermarks::default(),
            presences: Presences::default(),
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
                self.presences.forget();
                if was_online {
                    self.inform("connection lost, reconnecting");
                }
            }
            Event::Message(item) => self.message(now, &item),
            Event::Sent(sent) => self.sent(&sent),
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
            Event::Presence(items) => self.presences.learn(&items),
            Event::Typing { chat, from, on } => self.presences.types(now, chat, from, on),
            Event::Error(error) => self.inform(&text::one_line(&error.message)),
            Event::Stopped(reason) => self.inform(&reason.to_string()),
            Event::CaughtUp | Event::ReadElsewhere(_) | Event::Tokens(_) => {}
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
        self.talk_in(ChatId::User(user));
    }

    /// Talks in this chat from now on; what was said there is read.
    pub(super) fn talk_in(&mut self, chat: ChatId) {
        self.current = Some(chat);
        let known = self.chats.entry(chat).or_default();
        known.unread = 0;
        let said = known.said.iter().filter(|(_, said)| matches!(said.what, What::Text(_)));
        let froms: BTreeSet<UserId> = said.map(|(place, _)| place.from).collect();
        for from in froms.into_iter().filter(|from| *from != self.me) {
            if let Some(newest) = known.said.newest_of(from) {
                self.effects.push_back(Effect::Read(chat, from, newest));
            }
        }
    }

    /// What the server says of a group.
    pub(super) fn group(&mut self, group: &Group) {
        self.rooms.read(group);
        for member in &group.members {
            self.want_name(ChatId::User(member.user));
        }
        // What was said before its members were known was for these.
        let audience = self.audience(ChatId::Group(group.id));
        let Some(chat) = self.chats.get_mut(&ChatId::Group(group.id)) else { return };
        for (place, said) in chat.said.iter_mut() {
            if place.from == self.me && said.audience.is_empty() {
                said.audience.clone_from(&audience);
            }
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
            ChatId::Group(group) => format!("#{}", self.rooms.name(group)),
        }
    }

    /// A change of a group, in words.
    pub(super) fn happened(&self, from: UserId, event: &body::Event) -> String {
        rooms::in_words(from, event, |user| self.user_name(user))
    }

    /// The messages of the current chat in order, those that wait at the end.
    pub(super) fn shown(&self) -> Vec<Shown<'_>> {
        let Some((chat, known)) = self.current.and_then(|it| Some((it, self.chats.get(&it)?)))
        else {
            return Vec::new();
        };
        let me = self.my_name();
        let said = known.said.iter().map(|(place, said)| match &said.what {
            What::Text(text) => {
                let mine = place.from == self.me;
                let tick = mine.then(|| tick(&self.watermarks, chat, place.ts, &said.audience));
                Shown { name: self.user_name(place.from), mine, text: text.into(), tick }
            }
            What::Event(event) => {
                let text = self.happened(place.from, event).into();
                Shown { name: "*", mine: false, text, tick: None }
            }
        });
        let waiting = known.waiting.iter().map(|(_, text)| text.into());
        said.chain(waiting.map(|text| Shown { name: me, mine: true, text, tick: None })).collect()
    }

    /// Who types in the current chat.
    pub(super) fn typing(&self, now: Instant) -> Vec<&str> {
        let typing = self.current.map(|chat| self.presences.typing(now, chat));
        typing.into_iter().flatten().map(|user| self.user_name(user)).collect()
    }

    /// Who is there in the current chat, in words.
    pub(super) fn who_is_there(&self, now: Millis) -> Option<String> {
        let others = self.others(self.current?);
        match (self.current?, others.as_slice()) {
            (ChatId::User(user), [_]) => {
                let how = self.presences.of(user, now)?;
                Some(format!("{} {how}", self.user_name(user)))
            }
            _ => {
                let online = self.presences.online(&others)?;
                Some(format!("{online} of {} others online", others.len()))
            }
        }
    }

    /// Those who are to be watched: the others in the current chat; nothing
    /// where they are watched already.
    pub(super) fn watch(&mut self) -> Option<Vec<UserId>> {
        let mut others = self.current.map(|chat| self.others(chat)).unwrap_or_default();
        others.truncate(WATCH_USERS);
        if others == self.watched {
            return None;
        }
        self.presences.watch(&others);
        self.watched.clone_from(&others);
        Some(others)
    }

    /// The other chats in which something is unread.
    pub(super) fn unread(&self) -> Vec<(String, usize)> {
        let unread = self.chats.iter().filter(|(_, chat)| chat.unread > 0);
        unread.map(|(id, chat)| (self.chat_name(*id), chat.unread)).collect()
    }

    fn message(&mut self, now: Instant, item: &Item) {
        // Somebody who just listens gets to talk to the first who says something.
        let current = *self.current.get_or_insert(item.chat);
        self.effects.push_back(Effect::Stored(item.seq));
        self.presences.types(now, item.chat, item.from, false);
        self.want_name(item.chat);
        self.want_name(ChatId::User(item.from));
        if let Ok(Body::Event(event)) = item.body.typed() {
            return self.event(item, event);
        }
        let mine = item.from == self.me;
        let text = text::of(&item.body);
        let audience = if mine { self.audience(item.chat) } else { Vec::new() };
        let told = mine.then_some(Tick::Sent);
        let said = Said { what: What::Text(text.clone()), told, audience };
        let chat = self.chats.entry(item.chat).or_default();
        if !chat.said.insert(Place::from(item), said) {
            return;
        }
        if !mine && current == item.chat {
            self.effects.push_back(Effect::Read(item.chat, item.from, item.ts));
        } else if !mine {
            chat.unread += 1;
        }
        self.notes.push_back(Note::Said { chat: item.chat, from: item.from, text });
    }

    fn event(&mut self, item: &Item, event: body::Event) {
        if let ChatId::Group(group) = item.chat {
            self.rooms.happened(group, &event);
        }
        for user in rooms::concerned(&event) {
            self.want_name(ChatId::User(*user));
        }
        let said = Said { what: What::Event(event.clone()), told: None, audience: Vec::new() };
        let chat = self.chats.entry(item.chat).or_default();
        if chat.said.insert(Place::from(item), said) {
            self.notes.push_back(Note::Happened { chat: item.chat, from: item.from, event });
        }
    }

    fn sent(&mut self, sent: &Sent) {
        let Sent { id, chat, ts, full } = sent;
        let Some(text) = self.no_longer_waits(*chat, id) else { return };
        let place = Place { ts: *ts, from: self.me, id: id.clone() };
        let mut audience = self.audience(*chat);
        audience.retain(|user| !full.contains(user));
        let tick = tick(&self.watermarks, *chat, *ts, &audience);
        let said = Said { what: What::Text(text.clone()), told: Some(tick), audience };
        self.chats.entry(*chat).or_default().said.insert(place, said);
        self.notes.push_back(Note::Ticked { text, tick });
    }

    fn receipt(&mut self, receipt: &Receipt) {
        if !self.watermarks.join(receipt) {
            return;
        }
        let Some(chat) = self.chats.get_mut(&receipt.chat) else { return };
        for (place, said) in chat.said.iter_mut() {
            let tick = tick(&self.watermarks, receipt.chat, place.ts, &said.audience);
            if let What::Text(text) = &said.what
                && said.told.is_some_and(|told| told < tick)
            {
                said.told = Some(tick);
                self.notes.push_back(Note::Ticked { text: text.clone(), tick });
            }
        }
    }

    /// Whom one's own message in this chat is for.
    fn audience(&self, chat: ChatId) -> Vec<UserId> {
        match chat {
            ChatId::User(user) => vec![user],
            ChatId::Group(_) => self.others(chat),
        }
    }

    /// Who is in this chat besides oneself.
    fn others(&self, chat: ChatId) -> Vec<UserId> {
        let people = match &chat {
            ChatId::User(user) => std::slice::from_ref(user),
            ChatId::Group(group) => self.rooms.members(*group),
        };
        people.iter().copied().filter(|user| *user != self.me).collect()
    }

    fn no_longer_waits(&mut self, chat: ChatId, id: &MessageId) -> Option<String> {
        self.chats.get_mut(&chat)?.no_longer_waits(id)
    }

    fn want_name(&mut self, chat: ChatId) {
        match chat {
            ChatId::User(user) if !self.names.contains_key(&user) => {
                // Until it is known, the id is the name; and it is asked for once.
                self.names.insert(user, user.to_string());
                self.nameless.push(user);
            }
            ChatId::User(_) => {}
            ChatId::Group(group) => self.rooms.hear_of(group),
        }
    }

    /// The name of a user, as far as it is known.
    pub(super) fn user_name(&self, user: UserId) -> &str {
        self.names.get(&user).map_or("somebody", String::as_str)
    }
}

#[cfg(test)]
mod tests;
