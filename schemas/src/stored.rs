//! The form in which a message lies in an inbox.
//!
//! It is the item of a `messages` frame without its `seq`, so that delivering
//! is a splice of bytes and never a re-encoding.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::{
    body::RawBody,
    id::{ChatId, MessageId, UserId},
    time::Micros,
};

/// A message in a device's inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredMessage {
    /// The sender's id for it.
    pub id: MessageId,
    /// The chat, from the inbox owner's point of view.
    pub chat: ChatId,
    /// Who sent it.
    pub from: UserId,
    /// Its place in the chat.
    pub ts: Micros,
    /// What its sender had seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Micros>,
    /// The content.
    pub body: RawBody,
}

impl StoredMessage {
    /// The JSON text that is stored.
    pub fn to_json(&self) -> Vec<u8> {
        #[allow(clippy::expect_used, reason = "a message is plain data with string keys")]
        serde_json::to_vec(self).expect("a message is always JSON")
    }
}

/// What the server itself needs to know of a stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The chat, from the inbox owner's point of view.
    pub chat: ChatId,
    /// Who sent it.
    pub from: UserId,
    /// Its place in the chat.
    pub ts: Micros,
    /// Server-made events move no watermark.
    pub is_event: bool,
}

impl Head {
    /// Reads the head out of a stored message.
    ///
    /// # Errors
    /// When the bytes are not a stored message.
    pub fn parse(stored: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            chat: ChatId,
            from: UserId,
            ts: Micros,
            #[serde(borrow)]
            body: Kind<'a>,
        }
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            kind: std::borrow::Cow<'a, str>,
        }
        let raw: Raw = serde_json::from_slice(stored)?;
        Ok(Self { chat: raw.chat, from: raw.from, ts: raw.ts, is_event: raw.body.kind == "event" })
    }
}

/// Builds one `messages` frame, or one answer of `GET /v1/inbox`, out of stored
/// messages.
#[derive(Debug)]
pub struct MessagesFrame {
    text: Vec<u8>,
    items: usize,
}

impl MessagesFrame {
    /// An empty frame with room for `bytes` of stored messages.
    pub fn with_capacity(bytes: usize) -> Self {
        Self::begun(br#"{"type":"messages","items":["#, bytes)
    }

    /// The same without its `type`, as HTTP has lists.
    pub fn list_with_capacity(bytes: usize) -> Self {
        Self::begun(br#"{"items":["#, bytes)
    }

    fn begun(beginning: &[u8], bytes: usize) -> Self {
        let mut text = Vec::with_capacity(bytes + 64);
        text.extend_from_slice(beginning);
        Self { text, items: 0 }
    }

    /// Appends the stored message at this inbox position.
    pub fn push(&mut self, seq: u64, stored: &[u8]) {
        debug_assert!(stored.starts_with(b"{\""));
        if self.items > 0 {
            self.text.push(b',');
        }
        self.items += 1;
        // Writing to a Vec cannot fail.
        let _ = write!(self.text, r#"{{"seq":{seq},"#);
        self.text.extend_from_slice(stored.get(1..).unwrap_or_default());
    }

    /// How many messages it holds.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The frame's JSON text.
    pub fn finish(mut self) -> Vec<u8> {
        self.text.extend_from_slice(b"]}");
        self.text
    }
}
