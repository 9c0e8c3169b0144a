//! Message bodies: what people say to each other.

use std::{borrow::Cow, str::FromStr as _};

use base64::Engine as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    id::{MediaId, UserId},
    integer::{self, Integer},
    limits::BODY_BYTES,
};

/// A message's content, tagged by `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// Plain text.
    Text {
        /// What was written.
        text: String,
    },
    /// A picture or a file that was uploaded before.
    Media(Media),
    /// Ciphertext the server cannot read.
    Opaque {
        /// Base64 (RFC 4648 §4, padded).
        data: String,
    },
    /// Something the server tells; refused from a client.
    Event(Event),
}

/// A reference to an upload, with what a client needs to show it before fetching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Media {
    /// The upload.
    pub media: MediaId,
    /// File name.
    pub name: String,
    /// Media type (RFC 6838).
    pub mime: String,
    /// Length in bytes.
    #[serde(deserialize_with = "integer::exact")]
    pub size: u64,
    /// Pixels across.
    #[serde(
        default,
        deserialize_with = "integer::exact_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub width: Option<u32>,
    /// Pixels down.
    #[serde(
        default,
        deserialize_with = "integer::exact_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub height: Option<u32>,
    /// A tiny preview, as the client encodes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<String>,
    /// Text shown with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
}

/// What happened to a group, or to an upload; the message's `from` is who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event")]
pub enum Event {
    /// A group was made.
    #[serde(rename = "group.created")]
    GroupCreated {
        /// Its name.
        name: String,
        /// Its members, the creator included.
        members: Vec<UserId>,
    },
    /// A group got a new name.
    #[serde(rename = "group.renamed")]
    GroupRenamed {
        /// The new name.
        name: String,
    },
    /// Somebody was added.
    #[serde(rename = "member.added")]
    MemberAdded {
        /// Who.
        user: UserId,
    },
    /// Somebody was removed by an admin.
    #[serde(rename = "member.removed")]
    MemberRemoved {
        /// Who.
        user: UserId,
    },
    /// Somebody left.
    #[serde(rename = "member.left")]
    MemberLeft {
        /// Who.
        user: UserId,
    },
    /// Somebody's role changed.
    #[serde(rename = "member.role")]
    MemberRole {
        /// Whose.
        user: UserId,
        /// The new role.
        role: Role,
    },
    /// An upload was looked at and is served. Told to the devices of who
    /// uploaded it, in the note to self.
    #[serde(rename = "media.ready")]
    MediaReady {
        /// The upload.
        media: MediaId,
        /// What it is, by its content (RFC 6838).
        mime: String,
        /// How many bytes are served.
        size: u64,
        /// Pixels across, of a picture.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        width: Option<u32>,
        /// Pixels down, of a picture.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        height: Option<u32>,
        /// Whether there is a small picture of it.
        thumbnail: bool,
    },
    /// An upload was looked at and is not served. Told as `media.ready` is.
    #[serde(rename = "media.rejected")]
    MediaRejected {
        /// The upload.
        media: MediaId,
        /// Why, for people.
        reason: String,
    },
}

/// What a member may do in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Adds, removes and promotes.
    Admin,
    /// Reads and writes.
    Member,
}

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Above the limit.
    #[error("a body is at most {BODY_BYTES} bytes of JSON text, this one has {0}")]
    TooLarge(usize),
    /// Missing or mistyped fields.
    #[error("body: {0}")]
    Mistyped(String),
    /// A kind that clients cannot send, or a value that cannot be.
    #[error("body: {0}")]
    Invalid(String),
}

/// A body as its sender wrote it: checked once at the edge and from there on
/// passed along byte for byte, so fields this version does not know survive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawBody(Box<RawValue>);

impl RawBody {
    /// Checks a client's body and keeps its text.
    ///
    /// # Errors
    /// [`BodyError`] for one that is too large, mistyped, of a kind clients
    /// cannot send (`event`, or unknown), or opaque but not base64.
    pub fn parse(raw: &RawValue) -> Result<Self, BodyError> {
        let text = raw.get();
        if text.len() > BODY_BYTES {
            return Err(BodyError::TooLarge(text.len()));
        }
        let mistyped = |error: serde_json::Error| BodyError::Mistyped(reason(&error));
        // serde's derive takes an array for a struct; the protocol does not.
        if !text.starts_with('{') {
            return Err(BodyError::Mistyped("expected an object".into()));
        }
        let kind: Kind = serde_json::from_str(text).map_err(mistyped)?;
        match kind.kind.as_str() {
            "text" | "media" | "opaque" => {
                serde_json::from_str::<Shape>(text).map_err(mistyped)?.check()?;
            }
            "event" => return Err(BodyError::Invalid("events are made by the server".into())),
            other => return Err(BodyError::Invalid(format!("unknown kind {:?}", Excerpt(other)))),
        }
        Ok(Self(raw.to_owned()))
    }

    /// The JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The upload that a `media` body brings along. It is asked of every message,
    /// and copies nothing.
    pub fn media(&self) -> Option<MediaId> {
        #[derive(Deserialize)]
        struct Brings<'a> {
            #[serde(borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            media: Option<Cow<'a, str>>,
        }
        // Another kind may have a field of that name, of whatever type.
        let Brings { kind, media } = serde_json::from_str(self.get()).ok()?;
        if kind == "media" { media?.parse().ok() } else { None }
    }

    /// Parses the text into its typed form.
    ///
    /// # Errors
    /// When the kind is one this version does not know.
    pub fn typed(&self) -> Result<Body, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

impl PartialEq for RawBody {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl From<&Body> for RawBody {
    fn from(body: &Body) -> Self {
        #[allow(clippy::expect_used, reason = "a body is plain data with string keys")]
        Self(serde_json::value::to_raw_value(body).expect("a body is always JSON"))
    }
}

impl JsonSchema for RawBody {
    fn schema_name() -> Cow<'static, str> {
        Body::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Body::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Body::json_schema(generator)
    }
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// What a body must look like before its values are looked at.
///
/// Being tagged, it is read whole: nothing gets past it, not even in a field
/// this version does not know, that a recipient's parser could choke on (numbers
/// beyond a double, lone surrogates, nesting deeper than serde_json's 128).
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Shape<'a> {
    Text {
        #[serde(rename = "text", borrow)]
        _text: Cow<'a, str>,
    },
    Media(#[serde(borrow)] MediaShape<'a>),
    Opaque {
        #[serde(borrow)]
        data: Cow<'a, str>,
    },
}

#[derive(Deserialize)]
struct MediaShape<'a> {
    #[serde(borrow)]
    media: Cow<'a, str>,
    #[serde(rename = "name", borrow)]
    _name: Cow<'a, str>,
    #[serde(rename = "mime", borrow)]
    _mime: Cow<'a, str>,
    size: Integer,
    width: Option<Integer>,
    height: Option<Integer>,
    #[serde(rename = "thumbnail")]
    _thumbnail: Option<String>,
    #[serde(rename = "caption")]
    _caption: Option<String>,
}

impl Shape<'_> {
    fn check(&self) -> Result<(), BodyError> {
        match self {
            Self::Text { .. } => Ok(()),
            Self::Media(media) => media.check(),
            Self::Opaque { data } => base64::engine::general_purpose::STANDARD
                .decode(&**data)
                .map(drop)
                .map_err(|error| BodyError::Invalid(format!("data is not base64: {error}"))),
        }
    }
}

impl MediaShape<'_> {
    fn check(&self) -> Result<(), BodyError> {
        let out_of_range = |field| BodyError::Invalid(format!("{field}: out of range"));
        MediaId::from_str(&self.media).map_err(|error| {
            BodyError::Invalid(format!("media: {error}, not {:?}", Excerpt(&self.media)))
        })?;
        self.size.exactly::<u64>().ok_or_else(|| out_of_range("size"))?;
        for (field, pixels) in [("width", self.width), ("height", self.height)] {
            if pixels.is_some_and(|pixels| pixels.exactly::<u32>().is_none()) {
                return Err(out_of_range(field));
            }
        }
        Ok(())
    }
}

/// Why JSON was refused. serde quotes what it did not expect, so that alone
/// could be as long as a frame.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    const SHOWN: usize = 160;
    let mut reason = error.to_string();
    if let Some((cut, _)) = reason.char_indices().nth(SHOWN) {
        reason.truncate(cut);
        reason.push('…');
    }
    reason
}

/// The first characters of a client's text, for an error message.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl std::fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 32;
        match self.0.char_indices().nth(SHOWN) {
            Some((cut, _)) => write!(f, "{:?}…", &self.0[..cut]),
            None => write!(f, "{:?}", self.0),
        }
    }
}
