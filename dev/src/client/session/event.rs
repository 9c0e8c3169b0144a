//! What a session wants done, what it tells, and what outlives it.

use std::{collections::BTreeMap, time::Duration};

use schemas::{
    ChatId, ErrorCode, MessageId, Micros, UserId, client, http,
    server::{self, Item, Presence, ReadSync, Receipt},
};
use serde::{Deserialize, Serialize};

use super::outbox::Unsent;

/// What the session wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Open a socket to this gateway of the list.
    Connect {
        /// Index into the list.
        gateway: usize,
    },
    /// Write this frame.
    Write(client::Frame),
    /// Close the socket; nothing more is said about it.
    Disconnect,
    /// Ask this gateway for a new pair of tokens with this one.
    Renew {
        /// Index into the list.
        gateway: usize,
        /// The refresh token to present.
        refresh_token: String,
    },
    /// Tell the user.
    Tell(Event),
}

/// What the user is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The hello was accepted.
    Online {
        /// This connection, as in the gateway's logs.
        session: String,
        /// The gateway that serves it.
        gateway: String,
    },
    /// A message, for the first time. It is acknowledged once it is stored.
    Message(Item),
    /// One of your messages is stored in the recipient's inbox.
    Sent(server::Sent),
    /// One of your messages is refused for good, and was given up.
    Refused {
        /// Its id.
        id: MessageId,
        /// Its chat.
        chat: ChatId,
        /// Why.
        code: ErrorCode,
        /// Why, for people.
        message: String,
    },
    /// A chat's messages wait: the server cannot take the first of them now.
    Delayed {
        /// The first one's id.
        id: MessageId,
        /// The chat.
        chat: ChatId,
        /// Why.
        code: ErrorCode,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// How far others got with your messages.
    Receipts(Vec<Receipt>),
    /// How far another device of yours has read.
    ReadElsewhere(Vec<ReadSync>),
    /// Who of the watched is there.
    Presence(Vec<Presence>),
    /// Somebody types, or stopped.
    Typing {
        /// The chat.
        chat: ChatId,
        /// Who.
        from: UserId,
        /// Started, or stopped.
        on: bool,
    },
    /// Everything stored before this connection has come.
    CaughtUp,
    /// The connection is gone, or could not be made.
    Disconnected {
        /// The close code, if there was one.
        code: Option<u16>,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// The tokens were renewed: keep the new ones.
    Tokens(Tokens),
    /// The server refused something that was not a message.
    Error(server::Error),
    /// The session ended and will not come back.
    Stopped(StopReason),
}

/// A pair of tokens, hidden from logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens(pub http::Session);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}

/// Why a session ended for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The tokens are no good any more: log in again.
    #[error("signed out: log in again")]
    SignedOut,
    /// The server closed with a code that says not to come back.
    #[error("closed by the server ({0})")]
    Closed(u16),
}

/// What outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The largest `rev` of the receipts that were told.
    pub receipts_after: u64,
    /// Messages that are not confirmed, per chat in order.
    pub unsent: Vec<Unsent>,
    /// The largest `ts` seen in each chat: what is sent next sorts after it.
    #[serde(default)]
    pub newest: BTreeMap<ChatId, Micros>,
}

/// How the renewal of the tokens ended.
#[derive(Debug, Clone)]
pub enum Renewal {
    /// A new pair.
    Renewed(http::Session),
    /// The refresh token is no good any more.
    Refused,
    /// No answer, or none that settles it.
    Unavailable,
}
