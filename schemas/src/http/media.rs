//! Uploads: reserved, looked at, served.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Sha256,
    id::MediaId,
    integer,
    limits::{MEDIA_NAME_BYTES, MEDIA_TYPE_BYTES},
    time::Millis,
};

/// `POST /v1/media`: an upload to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewMedia {
    /// What the file is called: 1 to 255 bytes without control characters, `/` or `\`.
    #[schemars(length(min = 1, max = MEDIA_NAME_BYTES))]
    pub name: String,
    /// What it is (RFC 6838), as its content says, too; which are allowed is the
    /// operator's choice. Ciphertext is `application/octet-stream`.
    #[schemars(length(min = 1, max = MEDIA_TYPE_BYTES))]
    pub mime: String,
    /// How many bytes will come, exactly; the most is the operator's choice.
    #[serde(deserialize_with = "integer::exact")]
    #[schemars(range(min = 1))]
    pub size: u64,
    /// What they hash to, so that it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// Where the bytes of an upload go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reservation {
    /// The upload, from now on.
    pub id: MediaId,
    /// The request that takes all of it at once.
    pub upload: UploadRequest,
    /// The address for an upload in pieces, by tus 1.0.0.
    pub resumable: String,
    /// Until when, in milliseconds since 1970.
    pub expires: Millis,
}

/// A request that whoever knows it may make; it needs no token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadRequest {
    /// Its method.
    pub method: UploadMethod,
    /// Its address.
    pub url: String,
    /// Headers that have to come with it exactly so. A browser sets
    /// `content-length` by itself.
    pub headers: BTreeMap<String, String>,
}

/// How bytes are uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UploadMethod {
    /// All of them in one body.
    #[serde(rename = "PUT")]
    Put,
}

/// An upload, as those see it who may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MediaInfo {
    /// Which.
    pub id: MediaId,
    /// What has become of it.
    pub state: MediaState,
    /// Why it was rejected, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the file is called.
    pub name: String,
    /// What it is (RFC 6838): as announced, and once it is ready as it is served.
    pub mime: String,
    /// How many bytes: as announced, and once it is ready as it is served.
    pub size: u64,
    /// Pixels across, of a picture that is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels down, of a picture that is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Whether there is a small picture of it.
    pub thumbnail: bool,
    /// When it was reserved, in milliseconds since 1970.
    pub created: Millis,
    /// When it goes at the latest, in milliseconds since 1970.
    pub expires: Millis,
}

/// What has become of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    /// Its bytes are awaited, or were not looked at yet.
    Pending,
    /// It is served.
    Ready,
    /// It is not, and never will be.
    Rejected,
}
