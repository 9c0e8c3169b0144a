//! What one call of the HTTP API is made of.

use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::{components::SchemaFn, examples::Example};
use crate::error::ErrorCode;

/// One call of the HTTP API.
#[derive(Debug)]
pub struct Operation {
    /// Unique; what a generated client calls it.
    pub id: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The path, with parameters as `{name}`: spelled alike in OpenAPI and in axum.
    pub path: &'static str,
    /// The chapter it belongs to.
    pub tag: Tag,
    /// Whether it needs `Authorization: Bearer` with an access token.
    pub signed_in: bool,
    /// One sentence without its full stop.
    pub summary: &'static str,
    /// What else there is to know, in Markdown; may be empty.
    pub description: &'static str,
    /// Parameters of the path and the query.
    pub parameters: &'static [Parameter],
    /// The JSON it takes.
    pub request: Option<Request>,
    /// What it answers when all is well.
    pub answer: Answer,
    /// What may go wrong with it in particular; see [`Operation::refusals`] for all.
    pub own_refusals: &'static [Refusal],
}

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Sets; the same again changes nothing.
    Put,
    /// As `Get`, without what is read.
    Head,
    /// Tells what is possible.
    Options,
    /// Changes a part.
    Patch,
    /// Removes; the same again changes nothing.
    Delete,
}

/// A chapter of the HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Registering, logging in and out, tokens.
    Sessions,
    /// One's own profile, devices and blocks.
    Me,
    /// Other people.
    Users,
    /// Groups and who is in them.
    Groups,
    /// Pictures and files.
    Media,
    /// Messages without a socket.
    Messages,
    /// The door to the socket.
    Socket,
    /// For operators and for readers.
    Service,
}

/// A parameter of the path or the query.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it means.
    pub description: &'static str,
    /// Its type; for a list in the query, the type of one item: the items are
    /// separated by commas.
    pub(super) schema: SchemaFn,
    /// The most items, for a list.
    pub most: Option<usize>,
    /// What is possible, for a number.
    pub range: Option<Range>,
}

/// The values a number may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
    /// What stands in where it is absent.
    pub default: u64,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path, always there.
    Path,
    /// In the query, may be absent.
    Query,
    /// Among the headers, may be absent.
    Header,
}

/// The answer when all is well.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What it means.
    pub description: &'static str,
    /// What comes with it.
    pub content: Content,
    /// Other answers that are no refusals: a status and what it means.
    pub also: &'static [(u16, &'static str)],
}

/// What comes with an answer.
#[derive(Debug)]
pub enum Content {
    /// Nothing a client should look at.
    Nothing,
    /// JSON of that type.
    Json(Shape),
    /// A document of that media type.
    Document(&'static str),
    /// Bytes of whatever media type they are.
    Bytes,
}

/// What a call takes.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub(super) body: RequestBody,
    /// Whether there has to be a body at all.
    pub required: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RequestBody {
    Json(Shape),
    /// Bytes of that media type.
    Bytes(&'static str),
}

/// A JSON type with an example.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub(super) schema: SchemaFn,
    pub(super) example: fn() -> Value,
}

/// Something that may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The code in the problem's body.
    pub code: ErrorCode,
    /// The HTTP status: the code's own, but for where HTTP has one for just that.
    pub status: u16,
    /// When that happens.
    pub when: &'static str,
}

impl Operation {
    /// Everything that may go wrong: what it says itself, and what its kind
    /// has in common. One code may be there for several reasons.
    pub fn refusals(&self) -> impl Iterator<Item = Refusal> {
        let takes_json = self.request.is_some_and(|request| request.is_json());
        let body: &[Refusal] = if takes_json { BODY } else { &[] };
        let ids: &[Refusal] = if self.parameters.is_empty() { &[] } else { PARAMETERS };
        let token: &[Refusal] = if self.signed_in { TOKEN } else { &[] };
        let limited: &[Refusal] = match self.tag {
            Tag::Sessions | Tag::Me | Tag::Users | Tag::Groups | Tag::Media | Tag::Messages => {
                SERVED
            }
            Tag::Socket | Tag::Service => &[],
        };
        [self.own_refusals, body, ids, token, limited].into_iter().flatten().copied()
    }
}

const BODY: &[Refusal] = &[
    Refusal::new(ErrorCode::BadFrame, "The body is not JSON, or a field is missing or mistyped."),
    Refusal::new(ErrorCode::Invalid, "A field has an impossible value."),
    Refusal::new(ErrorCode::TooLarge, "The body is larger than 64 KiB."),
];

const PARAMETERS: &[Refusal] =
    &[Refusal::new(ErrorCode::Invalid, "A parameter has an impossible value.")];

const TOKEN: &[Refusal] = &[Refusal::new(
    ErrorCode::Unauthorized,
    "The access token is missing, expired or revoked: get a new one.",
)];

const GROUPS: &str = "Up to 100 people who write to each other. Members learn of a change from an \
    `event` in their inboxes, in order with the messages. When a change of members is answered \
    every gateway acts on it: somebody added gets everything that is sent from then on, and the \
    last that somebody removed gets is the event that says so. A change that is answered with \
    `unavailable` may stand nevertheless: read the group, or ask for the same again, which \
    changes nothing where it is so already. Who has blocked whom makes no difference to a \
    group's messages, as each is for all of them; only typing does not pass between the two.";

const MEDIA: &str = "Pictures and files. Reserve an upload, send its bytes to the address in the \
    answer, and send a message whose body names it; it may be sent while it is still `pending`. \
    Each upload is looked at: its length, its hash, and whether it is what it says it is. Pictures \
    are served upright and without where they were taken. Then its owner's devices get an `event`, \
    `media.ready` or `media.rejected`, in the note to self. It can be read by its owner, by members of \
    the chats it was sent to, who may send it on, and if it is somebody's picture or a group's by \
    everybody. Nothing is kept for ever: what is not finished goes after 24 hours, and the rest when \
    `expires` says.";

const MESSAGES: &str = "For clients that cannot hold a socket, with what the socket promises. A \
    client asks for its inbox again and again: each answer is the oldest of what this device has \
    not acknowledged, so acknowledge what was stored before asking for more. Every call may go \
    to another gateway. It comes at least once: drop what is there already by (`from`, `id`). \
    Receipts, reading on other devices, typing and presence come on the socket only. A client \
    that polls counts for `last_seen` and is not online, and a socket of the same device stays \
    open beside it.";

/// What a client hears that asks too often.
pub(super) const TOO_MANY: Refusal =
    Refusal::new(ErrorCode::RateLimited, "Too many requests: wait as `Retry-After` says.");

/// What may go wrong with any call of people's, and is said in one place.
const SERVED: &[Refusal] = &[
    TOO_MANY,
    Refusal::new(
        ErrorCode::Unavailable,
        "Something behind the gateway does not answer: try again.",
    ),
];

/// Refusals that calls have in common and that share their status with no other.
pub(super) fn common() -> impl Iterator<Item = Refusal> {
    let too_large = BODY.iter().filter(|refusal| refusal.code == ErrorCode::TooLarge);
    TOKEN.iter().chain(too_large).chain(SERVED).copied()
}

impl Refusal {
    pub(super) const fn new(code: ErrorCode, when: &'static str) -> Self {
        Self { code, status: code.status(), when }
    }

    pub(super) const fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

impl Request {
    pub(super) const fn of<T: JsonSchema + Serialize + Example>() -> Self {
        Self { body: RequestBody::Json(Shape::of::<T>()), required: true }
    }

    /// Bytes, many of them.
    pub(super) const fn bytes(media_type: &'static str) -> Self {
        Self { body: RequestBody::Bytes(media_type), required: true }
    }

    /// Whether it is JSON.
    pub fn is_json(&self) -> bool {
        matches!(self.body, RequestBody::Json(_))
    }

    /// Without a body it means the same as with an empty object.
    pub(super) const fn optional<T: JsonSchema + Serialize + Example>() -> Self {
        Self { body: RequestBody::Json(Shape::of::<T>()), required: false }
    }
}

impl Shape {
    pub(super) const fn of<T: JsonSchema + Serialize + Example>() -> Self {
        Self {
            schema: SchemaGenerator::subschema_for::<T>,
            example: || serde_json::to_value(T::example()).unwrap_or_default(),
        }
    }
}

impl Parameter {
    pub(super) const fn path<T: JsonSchema>(name: &'static str, description: &'static str) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        Self { name, place: Place::Path, description, schema, most: None, range: None }
    }

    pub(super) const fn query<T: JsonSchema>(
        name: &'static str,
        description: &'static str,
    ) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        Self { name, place: Place::Query, description, schema, most: None, range: None }
    }

    pub(super) const fn header<T: JsonSchema>(
        name: &'static str,
        description: &'static str,
    ) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        Self { name, place: Place::Header, description, schema, most: None, range: None }
    }

    /// A list in the query, its items separated by commas.
    pub(super) const fn list<T: JsonSchema>(
        name: &'static str,
        most: usize,
        description: &'static str,
    ) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        Self { name, place: Place::Query, description, schema, most: Some(most), range: None }
    }

    /// A number in the query.
    pub(super) const fn number(
        name: &'static str,
        range: Range,
        description: &'static str,
    ) -> Self {
        let schema = SchemaGenerator::subschema_for::<u64>;
        Self { name, place: Place::Query, description, schema, most: None, range: Some(range) }
    }
}

impl Method {
    /// As it stands in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Tag {
    /// Every chapter, in reading order.
    pub const ALL: [Self; 8] = [
        Self::Sessions,
        Self::Me,
        Self::Users,
        Self::Groups,
        Self::Media,
        Self::Messages,
        Self::Socket,
        Self::Service,
    ];

    /// Its heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "Sessions",
            Self::Me => "Me",
            Self::Users => "Users",
            Self::Groups => "Groups",
            Self::Media => "Media",
            Self::Messages => "Messages",
            Self::Socket => "Socket",
            Self::Service => "Service",
        }
    }

    /// What it is about.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Sessions => "Registering, logging in and out, renewing tokens.",
            Self::Me => "One's own profile, devices and blocked users.",
            Self::Users => "Other people's public profiles.",
            Self::Groups => GROUPS,
            Self::Media => MEDIA,
            Self::Messages => MESSAGES,
            Self::Socket => "Where messages travel.",
            Self::Service => "Health, and the documents that describe all this.",
        }
    }
}
