//! What a client says on the socket, and how its frames are checked.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    body::{BodyError, Excerpt, RawBody, reason},
    error::ErrorCode,
    id::{ChatId, MessageId, UserId},
    integer::{self, Integer},
    limits::{MESSAGE_ID_BYTES, WATCH_USERS},
    time::Micros,
};

/// One JSON object per text frame, tagged by `type`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Frame {
    /// The first frame, within 10 s of the socket's opening.
    Hello(Hello),
    /// Renews the session's token.
    Auth(Auth),
    /// A message for a chat.
    Send(Send),
    /// Gives up a failed send, so that later ones of its chat may pass.
    Drop(Drop),
    /// This device has safely stored everything up to `seq`.
    Ack(Ack),
    /// This user has read up to these marks.
    Read(Read),
    /// Typing started or stopped; never stored.
    Typing(Typing),
    /// Replaces the set of users whose presence this session follows.
    Watch(Watch),
    /// Answered with `pong`.
    Ping {},
}

/// Opens the session. The token names user and device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// An access token.
    pub token: String,
    /// The largest `rev` this client has stored; 0 asks for all.
    #[serde(default, deserialize_with = "integer::null_is_zero")]
    #[schemars(with = "Option<u64>")]
    pub receipts_after: u64,
}

/// Not answered on success. The token of another user or device, or none before
/// the session's expires, closes the socket with 4401.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Auth {
    /// An access token.
    pub token: String,
}

/// Sending the same `id` again is safe: within the dedupe window of 2 minutes it
/// stores nothing new, and is answered with the same `sent`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Send {
    /// The client's own id for it, the same on every retry.
    pub id: MessageId,
    /// The peer or group.
    pub chat: ChatId,
    /// Text, media or opaque; at most 16 KiB of JSON text.
    pub body: RawBody,
    /// The server's time when the client first sent this id, as it estimates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Micros>,
    /// The largest `ts` this client has seen in the chat, its own included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Micros>,
}

/// Names a send that was refused with a code that holds its chat back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drop {
    /// The send's id.
    pub id: MessageId,
}

/// A cumulative acknowledgement: what it covers, the server forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// The largest inbox position stored; beyond what was sent it is clamped.
    pub seq: u64,
}

/// A mark is clamped to what this user's devices have acknowledged from that
/// sender in the chat; an `ack` counts that was sent before it on the same
/// socket, or was answered before it was posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Read {
    /// The peer or group.
    pub chat: ChatId,
    /// Per sender, the `ts` up to which their messages were read.
    pub marks: BTreeMap<UserId, Micros>,
}

/// First to be dropped under load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Typing {
    /// The peer or group.
    pub chat: ChatId,
    /// Started, or stopped.
    pub on: bool,
}

/// Their current state is sent at once. Users who do not exist are offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    /// At most 256; replaces the earlier set.
    #[schemars(length(max = WATCH_USERS))]
    pub users: Vec<UserId>,
}

/// Why a frame is refused; becomes an `error` frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FrameError {
    /// `bad_frame`, `unknown_type`, `too_large` or `invalid`.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// The `id` of the send, or the `type`, where the frame tells.
    pub reference: Option<String>,
}

impl FrameError {
    /// Whether it counts towards the ten bad frames in a row that close the socket.
    pub fn is_bad(&self) -> bool {
        matches!(self.code, ErrorCode::BadFrame | ErrorCode::UnknownType)
    }

    /// A frame that is not what the protocol calls a frame.
    pub fn bad(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::BadFrame, message: message.into(), reference: None }
    }
}

impl Frame {
    /// Parses and checks one text frame.
    ///
    /// Types are told from values: a missing or mistyped field is `bad_frame`,
    /// the right type with an impossible value is `invalid`.
    ///
    /// # Errors
    /// [`FrameError`], ready to be answered.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        object(text)?;
        let tag: Tag = from_str(text).map_err(FrameError::bad)?;
        let about =
            |error: FrameError| FrameError { reference: Some(tag.kind.to_string()), ..error };
        match &*tag.kind {
            "hello" => {
                let hello: RawHello = typed(text).map_err(about)?;
                let receipts_after = hello
                    .receipts_after
                    .map_or(Ok(0), |after| unsigned(after, "receipts_after").map_err(about))?;
                Ok(Self::Hello(Hello { token: hello.token, receipts_after }))
            }
            "auth" => typed(text).map(Self::Auth).map_err(about),
            "send" => Send::parse(text).map(Self::Send),
            "drop" => {
                let drop: RawDrop = typed(text).map_err(about)?;
                let id = id(&drop.id, "id").map_err(about)?;
                Ok(Self::Drop(Drop { id }))
            }
            "ack" => Ack::parse(text).map(Self::Ack).map_err(about),
            "read" => Read::parse(text).map(Self::Read).map_err(about),
            "typing" => {
                let typing: RawTyping = typed(text).map_err(about)?;
                let chat = id(&typing.chat, "chat").map_err(about)?;
                Ok(Self::Typing(Typing { chat, on: typing.on }))
            }
            "watch" => {
                typed::<RawWatch>(text).and_then(RawWatch::check).map(Self::Watch).map_err(about)
            }
            "ping" => Ok(Self::Ping {}),
            other => Err(FrameError {
                code: ErrorCode::UnknownType,
                message: format!("unknown type {:?}", Excerpt(other)),
                // Echoed like an id, and so no longer than one.
                reference: (other.len() <= MESSAGE_ID_BYTES).then(|| other.to_owned()),
            }),
        }
    }
}

/// What may be said without a socket, too: the object without its `type`.
pub trait Said: Sized {
    /// Parses and checks it as [`Frame::parse`] does.
    ///
    /// # Errors
    /// [`FrameError`]; with a `reference` only where it has an id.
    fn parse(text: &str) -> Result<Self, FrameError>;
}

impl Said for Send {
    fn parse(text: &str) -> Result<Self, FrameError> {
        object(text)?;
        let send: RawSend = typed(text).map_err(|error| about_send(text, error))?;
        send.check()
    }
}

impl Said for Ack {
    fn parse(text: &str) -> Result<Self, FrameError> {
        object(text)?;
        let ack: RawAck = typed(text)?;
        Ok(Self { seq: unsigned(ack.seq, "seq")? })
    }
}

impl Said for Read {
    fn parse(text: &str) -> Result<Self, FrameError> {
        object(text)?;
        typed(text).and_then(RawRead::check)
    }
}

// What a frame must look like before its values are looked at.

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawHello {
    token: String,
    receipts_after: Option<Integer>,
}

#[derive(Deserialize)]
struct RawSend<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    chat: Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
    at: Option<Integer>,
    after: Option<Integer>,
}

#[derive(Deserialize)]
struct RawDrop<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawAck {
    seq: Integer,
}

#[derive(Deserialize)]
struct RawRead<'a> {
    #[serde(borrow)]
    chat: Cow<'a, str>,
    marks: BTreeMap<String, Integer>,
}

#[derive(Deserialize)]
struct RawTyping<'a> {
    #[serde(borrow)]
    chat: Cow<'a, str>,
    on: bool,
}

#[derive(Deserialize)]
struct RawWatch {
    users: Vec<String>,
}

impl RawSend<'_> {
    fn check(self) -> Result<Send, FrameError> {
        let message_id: MessageId = id(&self.id, "id")
            .map_err(|error| FrameError { reference: Some("send".into()), ..error })?;
        let about =
            |error: FrameError| FrameError { reference: Some(message_id.to_string()), ..error };
        let chat = id(&self.chat, "chat").map_err(about)?;
        let body = RawBody::parse(self.body).map_err(|error| {
            let code = match error {
                BodyError::TooLarge(_) => ErrorCode::TooLarge,
                BodyError::Mistyped(_) => ErrorCode::BadFrame,
                BodyError::Invalid(_) => ErrorCode::Invalid,
            };
            about(FrameError { code, message: error.to_string(), reference: None })
        })?;
        let at = self.at.map(Integer::micros);
        let after = self.after.map(Integer::micros);
        Ok(Send { id: message_id, chat, body, at, after })
    }
}

impl RawRead<'_> {
    fn check(self) -> Result<Read, FrameError> {
        let chat = id(&self.chat, "chat")?;
        let marks = self
            .marks
            .into_iter()
            .map(|(sender, mark)| Ok((id(&sender, "marks")?, mark.micros())))
            .collect::<Result<_, FrameError>>()?;
        Ok(Read { chat, marks })
    }
}

impl RawWatch {
    fn check(self) -> Result<Watch, FrameError> {
        if self.users.len() > WATCH_USERS {
            return Err(invalid(format!("at most {WATCH_USERS} users, not {}", self.users.len())));
        }
        let users = self.users.iter().map(|user| id(user, "users")).collect::<Result<_, _>>()?;
        Ok(Watch { users })
    }
}

/// serde's derive takes an array for a struct; the protocol does not.
fn object(text: &str) -> Result<(), FrameError> {
    if text.trim_start().starts_with('{') {
        Ok(())
    } else {
        Err(FrameError::bad("one JSON object is expected"))
    }
}

fn typed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, FrameError> {
    from_str(text).map_err(FrameError::bad)
}

fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| reason(&error))
}

/// A mistyped send is answered by its id where that much can be read.
fn about_send(text: &str, error: FrameError) -> FrameError {
    #[derive(Deserialize)]
    struct Id {
        id: MessageId,
    }
    let reference = match from_str::<Id>(text) {
        Ok(send) => send.id.to_string(),
        Err(_) => "send".to_owned(),
    };
    FrameError { reference: Some(reference), ..error }
}

fn id<T: std::str::FromStr<Err = crate::id::ParseIdError>>(
    text: &str,
    field: &str,
) -> Result<T, FrameError> {
    text.parse().map_err(|error| invalid(format!("{field}: {error}, not {:?}", Excerpt(text))))
}

fn unsigned(integer: Integer, field: &str) -> Result<u64, FrameError> {
    integer.unsigned().map_err(|error| invalid(format!("{field}: {error}")))
}

fn invalid(message: String) -> FrameError {
    FrameError { code: ErrorCode::Invalid, message, reference: None }
}
