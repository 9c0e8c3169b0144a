//! Error codes, shared by the socket's `error` frame and by HTTP problems.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, not an object, a missing or mistyped field.
    BadFrame,
    /// A frame type this server does not know.
    UnknownType,
    /// A body above 16 KiB, or an upload above its limit.
    TooLarge,
    /// No token, or one that is refused.
    Unauthorized,
    /// No such user, group, device or media.
    NotFound,
    /// The sender is not in that group.
    NotMember,
    /// You have blocked this user.
    Blocked,
    /// Not yours to do.
    Forbidden,
    /// The group has its 100 members.
    GroupFull,
    /// Taken, or at its limit.
    Conflict,
    /// Too fast: wait `retry_after_ms`.
    RateLimited,
    /// The recipient's inbox holds no more.
    InboxFull,
    /// The right type with an impossible value.
    Invalid,
    /// Something behind the gateway does not answer: try again.
    Unavailable,
}

impl ErrorCode {
    /// Every code, for the published description.
    pub const ALL: [Self; 14] = [
        Self::BadFrame,
        Self::UnknownType,
        Self::TooLarge,
        Self::Unauthorized,
        Self::NotFound,
        Self::NotMember,
        Self::Blocked,
        Self::Forbidden,
        Self::GroupFull,
        Self::Conflict,
        Self::RateLimited,
        Self::InboxFull,
        Self::Invalid,
        Self::Unavailable,
    ];

    /// The HTTP status that carries this code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadFrame | Self::UnknownType | Self::Invalid => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::NotMember | Self::Blocked => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::GroupFull => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Unavailable => 503,
            Self::InboxFull => 507,
        }
    }

    /// The code's spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad_frame",
            Self::UnknownType => "unknown_type",
            Self::TooLarge => "too_large",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::NotMember => "not_member",
            Self::Blocked => "blocked",
            Self::Forbidden => "forbidden",
            Self::GroupFull => "group_full",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::InboxFull => "inbox_full",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether a refused `send` holds later ones to its chat back until it is
    /// sent again or dropped (PROTOCOL, promise 4).
    pub const fn holds_chat(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable | Self::InboxFull)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An HTTP error (RFC 9457), sent as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The HTTP status, again.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong this time, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}
