//! What was said in one chat.

use std::collections::VecDeque;

use schemas::{ChatId, MessageId, Micros, UserId, body::Event};

use crate::client::{Tick, Timeline, Watermarks};

/// A chat.
#[derive(Debug, Default)]
pub(super) struct Chat {
    /// In the order in which everybody sees it.
    pub(super) said: Timeline<Said>,
    /// One's own messages that wait to be sent.
    pub(super) waiting: VecDeque<(MessageId, String)>,
    /// How many messages of others were not seen.
    pub(super) unread: usize,
}

/// A message.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) what: What,
    /// One's own: how far it got, as the person was told.
    pub(super) told: Option<Tick>,
    /// For whom one's own was, as far as that was known then.
    pub(super) audience: Vec<UserId>,
}

/// Its body.
#[derive(Debug)]
pub(super) enum What {
    /// Words, or what stands for something else.
    Text(String),
    /// A change of the group.
    Event(Event),
}

impl Chat {
    /// One's own message is sent or given up; its text, if it waited.
    pub(super) fn no_longer_waits(&mut self, id: &MessageId) -> Option<String> {
        let place = self.waiting.iter().position(|(waits, _)| waits == id)?;
        self.waiting.remove(place).map(|(_, text)| text)
    }
}

/// How far a message got with all it was for.
pub(super) fn tick(watermarks: &Watermarks, chat: ChatId, ts: Micros, audience: &[UserId]) -> Tick {
    let ticks = audience.iter().map(|user| watermarks.tick(chat, *user, ts));
    ticks.min().unwrap_or(Tick::Sent)
}
