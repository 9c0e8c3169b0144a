//! What the server says on the socket.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    body::RawBody,
    error::ErrorCode,
    id::{ChatId, DeviceId, MessageId, UserId},
    limits,
    time::{Micros, Millis},
};

/// One JSON object per text frame, tagged by `type`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Frame {
    /// The hello was accepted.
    Welcome(Welcome),
    /// Messages in `seq` order.
    Messages {
        /// One alone when the line is quiet, more when it is behind; at most
        /// 256 KiB together.
        #[schemars(length(min = 1, max = limits::MESSAGES_ITEMS))]
        items: Vec<Item>,
    },
    /// Once per session: everything stored before the hello has been sent.
    CaughtUp {},
    /// The message is durably stored in every recipient's inbox.
    Sent(Sent),
    /// How far your messages got.
    Receipts {
        /// Watermarks that never go back.
        items: Vec<Receipt>,
    },
    /// How far another device of yours has read.
    Read {
        /// One per chat.
        items: Vec<ReadSync>,
    },
    /// Who of the watched is there.
    Presence {
        /// One per user.
        items: Vec<Presence>,
    },
    /// Somebody types, or stopped.
    Typing {
        /// The chat, from this reader's point of view.
        chat: ChatId,
        /// Who.
        from: UserId,
        /// Started, or stopped.
        on: bool,
    },
    /// The answer to `ping`.
    Pong {
        /// The server's clock.
        now: Millis,
    },
    /// This gateway is going away: reconnect after that many milliseconds.
    Drain {
        /// Milliseconds.
        after_ms: u64,
    },
    /// Something was refused.
    Error(Error),
}

/// What a client needs to know before it says more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// Who the token names.
    pub user: UserId,
    /// Which of their devices.
    pub device: DeviceId,
    /// This connection, for logs.
    pub session: String,
    /// The gateway that serves it, for logs.
    pub gateway: String,
    /// The server's clock, to estimate `at` from.
    pub now: Millis,
    /// How often the server pings.
    pub heartbeat_secs: u64,
    /// What this server accepts.
    pub limits: Limits,
}

/// The limits a client has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Longest client frame in bytes.
    pub frame: usize,
    /// Longest body in bytes of JSON text.
    pub body: usize,
    /// Most unacknowledged messages in flight.
    pub window: usize,
    /// Most watched users.
    pub watch: usize,
    /// Most group members.
    pub group: usize,
}

impl Limits {
    /// The limits of protocol v1.
    pub const V1: Self = Self {
        frame: limits::CLIENT_FRAME_BYTES,
        body: limits::BODY_BYTES,
        window: limits::WINDOW,
        watch: limits::WATCH_USERS,
        group: limits::GROUP_MEMBERS,
    };
}

/// One message as a device gets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// Position in this device's inbox; acknowledge the largest you stored.
    pub seq: u64,
    /// The sender's id for it; (`from`, `id`) tells duplicates.
    pub id: MessageId,
    /// The chat, from this reader's point of view.
    pub chat: ChatId,
    /// Who sent it.
    pub from: UserId,
    /// Its place in the chat; ties go by `from`, then `id`.
    pub ts: Micros,
    /// What its sender had seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Micros>,
    /// The content.
    pub body: RawBody,
}

/// The Sent tick: the same for a first send and for a retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// The send's id.
    pub id: MessageId,
    /// The send's chat.
    pub chat: ChatId,
    /// The message's place in the chat.
    pub ts: Micros,
    /// Group members all of whose devices' inboxes refused it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full: Vec<UserId>,
}

/// How far one reader got with your messages in one chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The chat, from your point of view.
    pub chat: ChatId,
    /// Who received or read.
    pub user: UserId,
    /// Your messages up to this `ts` reached a device of theirs; 0 is none.
    pub delivered: Micros,
    /// Your messages up to this `ts` were read; 0 is none.
    pub read: Micros,
    /// Rises per user over `receipts` and `read` together.
    pub rev: u64,
}

/// How far you have read a chat on another device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadSync {
    /// The chat.
    pub chat: ChatId,
    /// Per sender, the `ts` up to which their messages were read.
    pub marks: BTreeMap<UserId, Micros>,
    /// Rises per user over `receipts` and `read` together.
    pub rev: u64,
}

/// Whether a user is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// Who.
    pub user: UserId,
    /// Online or offline.
    pub state: PresenceState,
    /// When they were last seen; absent while online or hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Millis>,
}

/// Online or offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// At least one device is connected.
    Online,
    /// None is.
    Offline,
}

/// The socket stays open, unless a close follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// The `id` (of a `send`) or `type` it answers.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl From<crate::client::FrameError> for Error {
    fn from(error: crate::client::FrameError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            reference: error.reference,
            retry_after_ms: None,
        }
    }
}

impl Frame {
    /// The frame's JSON text.
    pub fn to_json(&self) -> String {
        #[allow(clippy::expect_used, reason = "frames are plain data with string keys")]
        serde_json::to_string(self).expect("a frame is always JSON")
    }

    /// Parses a server frame, for clients written in Rust.
    ///
    /// # Errors
    /// When the text is not a frame of this version.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        // Bodies keep their text, which serde's own tagged enums cannot do:
        // the tag is read first, then the frame.
        #[derive(Deserialize)]
        struct Tag<'a> {
            #[serde(rename = "type", borrow)]
            kind: std::borrow::Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Items<T> {
            items: Vec<T>,
        }
        #[derive(Deserialize)]
        struct Typing {
            chat: ChatId,
            from: UserId,
            on: bool,
        }
        #[derive(Deserialize)]
        struct Pong {
            now: Millis,
        }
        #[derive(Deserialize)]
        struct Drain {
            after_ms: u64,
        }
        let tag: Tag = serde_json::from_str(text)?;
        Ok(match &*tag.kind {
            "welcome" => Self::Welcome(serde_json::from_str(text)?),
            "messages" => {
                Self::Messages { items: serde_json::from_str::<Items<Item>>(text)?.items }
            }
            "caught_up" => Self::CaughtUp {},
            "sent" => Self::Sent(serde_json::from_str(text)?),
            "receipts" => {
                Self::Receipts { items: serde_json::from_str::<Items<Receipt>>(text)?.items }
            }
            "read" => Self::Read { items: serde_json::from_str::<Items<ReadSync>>(text)?.items },
            "presence" => {
                Self::Presence { items: serde_json::from_str::<Items<Presence>>(text)?.items }
            }
            "typing" => {
                let Typing { chat, from, on } = serde_json::from_str(text)?;
                Self::Typing { chat, from, on }
            }
            "pong" => Self::Pong { now: serde_json::from_str::<Pong>(text)?.now },
            "drain" => Self::Drain { after_ms: serde_json::from_str::<Drain>(text)?.after_ms },
            "error" => Self::Error(serde_json::from_str(text)?),
            other => return Err(serde::de::Error::custom(format!("unknown type {other:?}"))),
        })
    }
}
