//! What a chat tells its face, and what follows from that.

use std::{borrow::Cow, time::Instant};

use schemas::{ChatId, Micros, UserId, body::Event};

use crate::client::Tick;

/// What there is to tell, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// Somebody said something.
    Said {
        /// Where.
        chat: ChatId,
        /// Who.
        from: UserId,
        /// What.
        text: String,
    },
    /// A group changed.
    Happened {
        /// Which.
        chat: ChatId,
        /// Who did it.
        from: UserId,
        /// What.
        event: Event,
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
    /// What was said, or what happened.
    pub(super) text: Cow<'a, str>,
    /// How far one's own got; `None` while it waits to be sent.
    pub(super) tick: Option<Tick>,
}
