//! Identifiers, each parsed into its own type at the edge.
//!
//! Every id is one safe NATS subject token: no dots, spaces, wildcards or
//! control characters can get past [`FromStr`].

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use crate::limits::MESSAGE_ID_BYTES;

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// A server-minted id is its prefix and a lower-case ULID.
    #[error("expected {prefix} and a lower-case ULID of 26 characters")]
    Minted {
        /// `u_`, `g_`, `d_`, `m_` or `w_`.
        prefix: &'static str,
    },
    /// A chat is a user or a group.
    #[error("expected a u_… or g_… id")]
    Chat,
    /// A message id is the client's own.
    #[error("expected 1 to {MESSAGE_ID_BYTES} characters of A-Z a-z 0-9 _ -")]
    Message,
}

const ULID_CHARS: usize = 26;

/// A rendered id: the prefix and the ULID, on the stack.
struct Rendered([u8; 2 + ULID_CHARS]);

impl Rendered {
    fn new(prefix: &str, ulid: Ulid) -> Self {
        let mut text = [0u8; 2 + ULID_CHARS];
        text[..2].copy_from_slice(prefix.as_bytes());
        let mut digits = [0u8; ULID_CHARS];
        ulid.array_to_str(&mut digits).make_ascii_lowercase();
        text[2..].copy_from_slice(&digits);
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn parse_minted(text: &str, prefix: &'static str) -> Result<Ulid, ParseIdError> {
    let refused = ParseIdError::Minted { prefix };
    let digits = text.strip_prefix(prefix).ok_or(refused.clone())?;
    if digits.len() != ULID_CHARS || digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(refused);
    }
    let ulid = Ulid::from_string(digits).map_err(|_| refused.clone())?;
    // Only the canonical spelling: two spellings of one id would be two subjects.
    if Rendered::new(prefix, ulid).as_str() == text { Ok(ulid) } else { Err(refused) }
}

macro_rules! minted_id {
    ($(#[doc = $doc:literal])* $name:ident, $prefix:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// The prefix that tells this kind of id from the others.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from the time and random bits a ULID is made of.
            pub fn from_parts(unix_ms: u64, random: u128) -> Self {
                Self(Ulid::from_parts(unix_ms, random))
            }

            /// A new id, unique without coordination.
            pub fn mint() -> Self {
                Self(Ulid::generate())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(Rendered::new($prefix, self.0).as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_minted(text, $prefix).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(Rendered::new($prefix, self.0).as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": concat!($($doc),*).trim(),
                    "type": "string",
                    "pattern": concat!("^", $prefix, "[0-7][0-9a-hjkmnp-tv-z]{25}$"),
                })
            }
        }
    };
}

minted_id!(
    /// A person's account: `u_` and a ULID.
    UserId,
    "u_"
);
minted_id!(
    /// A group chat: `g_` and a ULID.
    GroupId,
    "g_"
);
minted_id!(
    /// One of a user's linked devices: `d_` and a ULID.
    DeviceId,
    "d_"
);
minted_id!(
    /// An uploaded file: `m_` and a ULID.
    MediaId,
    "m_"
);
minted_id!(
    /// One run of a gateway, from its start to its end: `w_` and a ULID. Only
    /// Petrel's own processes know it.
    GatewayId,
    "w_"
);
minted_id!(
    /// One connection of a device, from its hello to its end: `s_` and a ULID.
    SessionId,
    "s_"
);

impl SessionId {
    /// What all long polls of a device count as in the registry of sessions.
    pub fn of_polls(device: DeviceId) -> Self {
        Self(device.0)
    }
}

/// A chat, from its reader's point of view: the peer, or the group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ChatId {
    /// A one-to-one chat with this user; one's own id is a note to self.
    User(UserId),
    /// A group chat.
    Group(GroupId),
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Group(group) => group.fmt(f),
        }
    }
}

impl fmt::Debug for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChatId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse()
            .map(Self::User)
            .or_else(|_| text.parse().map(Self::Group))
            .map_err(|_: ParseIdError| ParseIdError::Chat)
    }
}

impl<'de> Deserialize<'de> for ChatId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A message's id: the sender's own choice and its idempotency key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MessageId(Box<str>);

impl MessageId {
    /// The id as it stands in frames.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for MessageId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let fits = (1..=MESSAGE_ID_BYTES).contains(&text.len());
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if fits && text.bytes().all(safe) {
            Ok(Self(text.into()))
        } else {
            Err(ParseIdError::Message)
        }
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for MessageId {
    fn schema_name() -> Cow<'static, str> {
        "MessageId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A message's id: the sender's own choice and its idempotency key. \
                Unique per sender; a UUIDv7 is recommended.",
            "type": "string",
            "pattern": format!("^[A-Za-z0-9_-]{{1,{MESSAGE_ID_BYTES}}}$"),
        })
    }
}
