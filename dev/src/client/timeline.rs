//! How a chat looks on a screen: each message once, in the protocol's order,
//! with its ticks.

use std::collections::{BTreeMap, HashMap};

use schemas::{
    ChatId, MessageId, Micros, UserId,
    server::{Item, Receipt},
};

/// A message's place in its chat: `ts`, ties by `from`, then `id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The order key.
    pub ts: Micros,
    /// Who sent it.
    pub from: UserId,
    /// The sender's id for it.
    pub id: MessageId,
}

impl From<&Item> for Place {
    fn from(item: &Item) -> Self {
        Self { ts: item.ts, from: item.from, id: item.id.clone() }
    }
}

/// One chat's messages, each once, in order; `T` is what is kept of one.
#[derive(Debug, Clone)]
pub struct Timeline<T> {
    messages: BTreeMap<Place, T>,
    known: HashMap<(UserId, MessageId), Micros>,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self { messages: BTreeMap::new(), known: HashMap::new() }
    }
}

impl<T> Timeline<T> {
    /// Puts a message in its place. A second copy of one that is there changes
    /// nothing and is `false`.
    pub fn insert(&mut self, place: Place, message: T) -> bool {
        let key = (place.from, place.id.clone());
        if self.known.contains_key(&key) {
            return false;
        }
        self.known.insert(key, place.ts);
        self.messages.insert(place, message);
        true
    }

    /// The messages in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Place, &T)> {
        self.messages.iter()
    }

    /// The messages in order, to change what is kept of them.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&Place, &mut T)> {
        self.messages.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The largest `ts` of one sender's messages here.
    pub fn newest_of(&self, from: UserId) -> Option<Micros> {
        self.messages.keys().rev().find(|place| place.from == from).map(|place| place.ts)
    }
}

/// How far one of your own messages got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tick {
    /// Stored in the recipient's inbox.
    Sent,
    /// Reached a device of theirs.
    Delivered,
    /// Read.
    Read,
}

/// How far others got with your messages: only ever forward.
#[derive(Debug, Clone, Default)]
pub struct Watermarks(HashMap<(ChatId, UserId), (Micros, Micros)>);

impl Watermarks {
    /// Takes a receipt in; whether anything moved.
    pub fn join(&mut self, receipt: &Receipt) -> bool {
        let (delivered, read) = self.0.entry((receipt.chat, receipt.user)).or_default();
        let before = (*delivered, *read);
        *delivered = receipt.delivered.max(*delivered);
        *read = receipt.read.max(*read);
        before != (*delivered, *read)
    }

    /// The tick of your message with this `ts`, as this user's devices got it.
    pub fn tick(&self, chat: ChatId, user: UserId, ts: Micros) -> Tick {
        match self.0.get(&(chat, user)) {
            Some((_, read)) if *read >= ts => Tick::Read,
            Some((delivered, _)) if *delivered >= ts => Tick::Delivered,
            _ => Tick::Sent,
        }
    }
}
