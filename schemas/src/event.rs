//! Events between Petrel's own processes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::{ChatId, DeviceId, GatewayId, GroupId, MediaId, UserId},
    server::PresenceState,
    time::{Micros, Millis},
};

/// What a gateway tells the receipts worker: everything its sessions
/// acknowledged and read since the last batch, in one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptsBatch {
    /// Acknowledged messages, to be counted and deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acked: Vec<Acked>,
    /// Read marks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<MarkedRead>,
}

/// One device stored these messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// Whose inbox.
    pub user: UserId,
    /// Which device's.
    pub device: DeviceId,
    /// The inbox positions, rising: all that the session was sent up to the ack.
    pub seqs: Vec<u64>,
    /// The newest acknowledged message of each sender in each chat.
    pub marks: Vec<Mark>,
}

/// A place in what one sender wrote to one chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The chat, from the reader's point of view.
    pub chat: ChatId,
    /// Whose messages.
    pub from: UserId,
    /// Up to here.
    pub ts: Micros,
}

/// One user has read in one chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedRead {
    /// Who read.
    pub user: UserId,
    /// On which device.
    pub device: DeviceId,
    /// The chat, from the reader's point of view.
    pub chat: ChatId,
    /// Per sender, how far.
    pub marks: BTreeMap<UserId, ReadMark>,
    /// Whether the senders may know (`read_receipts`).
    pub public: bool,
}

/// A read mark with the proof that came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMark {
    /// Read up to here, as the client says.
    pub read: Micros,
    /// What the same socket has acknowledged from that sender, as far as the
    /// gateway remembers, or what is known to be delivered of it. It lets the
    /// worker clamp without waiting for the `Acked` that may still be under way
    /// on another worker.
    pub acked: Micros,
}

/// What the sender of a message calls the chat, where what a reader says of it
/// moves a watermark of theirs; `chat` is from the reader's point of view.
pub fn watermarked_chat(reader: UserId, chat: ChatId, from: UserId) -> Option<ChatId> {
    match chat {
        // One's own copy of what one wrote is no delivery, and a third person
        // writes nothing to a one-to-one chat. In the note to self one is both
        // ends.
        ChatId::User(peer) => (peer == from).then_some(ChatId::User(reader)),
        ChatId::Group(_) => (from != reader).then_some(chat),
    }
}

/// The value under a receipt's key: how far one reader got with one sender in one chat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// Reached a device.
    pub delivered: Micros,
    /// Was read; never beyond `delivered`.
    pub read: Micros,
}

impl Watermark {
    /// Both at their highest: order and repetition of events do not matter.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self { delivered: self.delivered.max(other.delivered), read: self.read.max(other.read) }
    }
}

/// The value under a read-sync key: how far a user has read a chat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMarks {
    /// Per sender.
    pub marks: BTreeMap<UserId, Micros>,
    /// The device that made every one of these marks; nothing once two devices
    /// had a part in them. It spares a device the echo of its own reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
}

/// Said once to all of a user's sessions, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// A device connected: an older session of the same device gives way.
    Connected {
        /// Which device.
        device: DeviceId,
        /// The new session.
        session: String,
        /// The gateway's clock at its hello.
        at: Micros,
    },
    /// A device polls: an older poll of the same device gives way.
    Polled {
        /// Which device.
        device: DeviceId,
        /// The new poll.
        poll: String,
        /// The gateway's clock at its beginning.
        at: Micros,
    },
    /// A device's tokens are no longer good: its socket closes.
    Revoked {
        /// Which device.
        device: DeviceId,
        /// The family of tokens that are good instead, after a login on the
        /// device: a socket that was opened with one of them stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<String>,
    },
    /// The user's own choice whether Read is shown has changed.
    ReadReceipts {
        /// The new choice.
        on: bool,
    },
    /// Somebody types.
    Typing {
        /// The chat, from the reader's point of view.
        chat: ChatId,
        /// Who.
        from: UserId,
        /// Started, or stopped.
        on: bool,
    },
}

/// What a gateway tells the media worker: the bytes of these media are there, or
/// may be by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaArrived {
    /// Which.
    pub media: MediaId,
}

/// The value under a session's key in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "session", rename_all = "snake_case")]
pub enum SessionMark {
    /// It is there.
    Started {
        /// The gateway's clock at its hello.
        at: Micros,
    },
    /// It is over.
    Ended {
        /// The client's last sign of life.
        heard: Micros,
        /// Whether its device may be about to connect elsewhere, so that its
        /// user is not offline yet.
        lingers: bool,
    },
}

/// The value under a user's key in the presence bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceRecord {
    /// Online or offline.
    pub state: PresenceState,
    /// The last sign of life that is known of while offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Millis>,
    /// The gateway through which the user came online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayId>,
    /// Online, but about to be called offline unless a session shows up: who
    /// finds one clears this, and so wins over who found none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// What a device was told of one chat while it was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    /// Every message of the chat up to this position in the inbox was told.
    pub covers: u64,
    /// The message that the last notification was about: once it is delivered,
    /// the device has come.
    pub told: u64,
    /// When that was.
    pub at: Millis,
    /// How many notifications there were since the device has last come.
    pub repeats: u32,
    /// How often the next one has failed.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub failures: u32,
    /// Somebody is sending the next one, and has until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Millis>,
    /// The next one, where there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextPush>,
}

/// A notification that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPush {
    /// The message that waits for it; the others of the chat need not.
    pub seq: u64,
    /// Not before then.
    pub at: Millis,
}

/// What whoever changes a group or a user asks of every gateway. Each answers,
/// with its [`GatewayId`], when it is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Barrier {
    /// That no earlier change of the group is being told to its members.
    Turn {
        /// Which group.
        group: GroupId,
        /// Rises with every change of the group.
        version: u64,
    },
    /// That the gateway acts on this version or a later one, and that nothing
    /// is under way any more that it began with an earlier one.
    Effect {
        /// Which group.
        group: GroupId,
        /// Rises with every change of the group.
        version: u64,
        /// Who is in it as of this version.
        members: Vec<UserId>,
    },
    /// That what the gateway remembered of this user's devices, blocks and
    /// settings is forgotten.
    Forget {
        /// Whose.
        user: UserId,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none_yet(count: &u32) -> bool {
    *count == 0
}
