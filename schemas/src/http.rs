//! Requests and answers of the HTTP API.

mod media;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    body::Role,
    id::{DeviceId, GroupId, MediaId, UserId},
    limits::{GROUP_MEMBERS, NAME_CHARS, PASSWORD_BYTES, USERNAME_CHARS},
    shape,
};

pub use self::media::{MediaInfo, MediaState, NewMedia, Reservation, UploadMethod, UploadRequest};

/// A phone number, as the published schemas describe it.
const PHONE: &str = r"^\+[0-9]{5,15}$";

/// Every list is an object with `items`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
}

/// `POST /v1/register`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Register {
    /// Unique, whatever its case: 1 to 64 letters, digits, `.`, `_`, `-`, `+` or `@`.
    #[schemars(length(min = 1, max = USERNAME_CHARS))]
    pub username: String,
    /// At most 1,024 bytes; the shortest accepted is the operator's choice.
    #[schemars(length(max = PASSWORD_BYTES), extend("format" = "password"))]
    pub password: String,
    /// Shown to others: 1 to 128 characters.
    #[schemars(length(min = 1, max = NAME_CHARS))]
    pub name: String,
    /// `+` and 5 to 15 digits (E.164), kept private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = PHONE))]
    pub phone: Option<String>,
    /// The device that registers, without an `id`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "shape::optional_object"
    )]
    pub device: Option<LoginDevice>,
}

/// `POST /v1/login`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// As registered, in any case.
    #[schemars(length(min = 1, max = USERNAME_CHARS))]
    pub username: String,
    /// The password.
    #[schemars(length(max = PASSWORD_BYTES), extend("format" = "password"))]
    pub password: String,
    /// The device to log in; without an `id` a new one is linked.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "shape::optional_object"
    )]
    pub device: Option<LoginDevice>,
}

/// The device of a login.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct LoginDevice {
    /// A device that was linked before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DeviceId>,
    /// What its owner calls it: 1 to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME_CHARS))]
    pub name: Option<String>,
    /// For example `ios`, `android` or `web`: 1 to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME_CHARS))]
    pub platform: Option<String>,
}

/// The answer to register, login and token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Who.
    pub user: UserId,
    /// On which device.
    pub device: DeviceId,
    /// For the socket's hello and the `Authorization: Bearer` header.
    pub access_token: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// For `POST /v1/token`.
    pub refresh_token: String,
}

/// `POST /v1/token`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Refresh {
    /// The newest refresh token.
    pub refresh_token: String,
}

/// What a user sees of themself: `GET /v1/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// The user's id.
    pub id: UserId,
    /// As registered.
    pub username: String,
    /// Shown to others.
    pub name: String,
    /// Profile picture.
    pub picture: Option<MediaId>,
    /// E.164; only its owner sees it.
    pub phone: Option<String>,
    /// Privacy and push.
    pub settings: Settings,
}

/// A user's choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Who sees when this user was last seen.
    pub last_seen: LastSeen,
    /// Whether Read is shown, both ways.
    pub read_receipts: bool,
    /// Whether a push may carry the message's text.
    pub push_preview: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { last_seen: LastSeen::Everyone, read_receipts: true, push_preview: false }
    }
}

/// Who sees when a user was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LastSeen {
    /// Everyone who is not blocked.
    Everyone,
    /// Nobody.
    Nobody,
}

/// `PATCH /v1/me`: what is absent stays; `null` clears `picture` and `phone`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PatchMe {
    /// Shown to others: 1 to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME_CHARS))]
    pub name: Option<String>,
    /// Profile picture; `null` removes it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(with = "Option<MediaId>")]
    pub picture: Option<Option<MediaId>>,
    /// `+` and 5 to 15 digits (E.164), kept private; `null` removes it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(with = "Option<String>", regex(pattern = PHONE))]
    pub phone: Option<Option<String>>,
    /// Privacy and push.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "shape::optional_object"
    )]
    pub settings: Option<PatchSettings>,
}

/// Settings to change; what is absent stays.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct PatchSettings {
    /// Who sees when this user was last seen.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "shape::optional_word"
    )]
    pub last_seen: Option<LastSeen>,
    /// Whether Read is shown, both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_receipts: Option<bool>,
    /// Whether a push may carry the message's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_preview: Option<bool>,
}

/// What everyone signed in sees of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// The user's id.
    pub id: UserId,
    /// As registered.
    pub username: String,
    /// Shown to others.
    pub name: String,
    /// Profile picture.
    pub picture: Option<MediaId>,
}

/// One of a user's linked devices: `GET /v1/me/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// The device's id.
    pub id: DeviceId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// For example `ios`, `android` or `web`.
    pub platform: Option<String>,
    /// When it was linked, in milliseconds since 1970.
    pub linked: crate::time::Millis,
    /// Whether this is the device that asks.
    pub current: bool,
}

/// A group, as its members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// The group's id, and its `chat`.
    pub id: GroupId,
    /// Shown to its members.
    pub name: String,
    /// Group picture.
    pub picture: Option<MediaId>,
    /// In the order they joined.
    #[schemars(length(max = GROUP_MEMBERS))]
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupMember {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub role: Role,
}

/// `POST /v1/groups`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewGroup {
    /// Shown to its members: 1 to 128 characters.
    #[schemars(length(min = 1, max = NAME_CHARS))]
    pub name: String,
    /// Who is in it beside its creator, who may be named, too.
    #[schemars(length(max = GROUP_MEMBERS))]
    pub members: Vec<UserId>,
}

/// `PATCH /v1/groups/{id}`: what is absent stays; `null` clears `picture`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PatchGroup {
    /// Shown to its members: 1 to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME_CHARS))]
    pub name: Option<String>,
    /// Group picture; `null` removes it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(with = "Option<MediaId>")]
    pub picture: Option<Option<MediaId>>,
}

/// `PUT /v1/groups/{id}/members/{user}`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PutMember {
    /// What the member may do from now on. Without it somebody new is a
    /// `member`, and who is in the group already stays what they are.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "shape::optional_word"
    )]
    pub role: Option<Role>,
}

/// Tells an explicit `null` from an absent field.
fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// `GET /v1/push/vapid`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VapidKey {
    /// The `applicationServerKey` to subscribe with (RFC 8292): an uncompressed
    /// P-256 point of 65 bytes, in base64url.
    pub public_key: String,
}
