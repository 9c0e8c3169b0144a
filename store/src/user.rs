//! Users and their devices, as the rest of Petrel sees them.
//!
//! None of these types is serializable: what goes to clients is made of the
//! types in `schemas`, and what is stored is the implementation's own.

use std::fmt;

use schemas::{
    DeviceId, MediaId, Millis, PushTarget, UserId,
    http::{PatchMe, PatchSettings, Settings},
};

use crate::{token::TokenState, username::Username};

/// A person's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// As registered.
    pub username: Username,
    /// Shown to others.
    pub name: String,
    /// E.164, kept private.
    pub phone: Option<String>,
    /// Profile picture.
    pub picture: Option<MediaId>,
    /// What the password is checked against.
    pub password_hash: PasswordHash,
    /// Privacy and push.
    pub settings: Settings,
    /// At most [`schemas::limits::DEVICES`], in the order they were linked.
    pub devices: Vec<Device>,
    /// Whom this user has blocked, at most [`schemas::limits::BLOCKED_USERS`],
    /// in the order they were blocked.
    pub blocked: Vec<UserId>,
    /// When the user registered, in milliseconds since 1970.
    pub created: Millis,
}

/// One of a user's linked devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// For example `ios`, `android` or `web`.
    pub platform: Option<String>,
    /// When it was linked, in milliseconds since 1970.
    pub linked: Millis,
    /// How far its refresh tokens have come.
    pub tokens: TokenState,
    /// How it is woken while it is not connected.
    pub push: Option<PushTarget>,
}

/// A registration. The caller has checked the lengths of its fields.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// As the user spells it.
    pub username: Username,
    /// Shown to others.
    pub name: String,
    /// E.164.
    pub phone: Option<String>,
    /// What the password is checked against.
    pub password_hash: PasswordHash,
    /// The device that registers.
    pub device: NewDevice,
}

/// A device to be linked. The caller has checked the lengths of its fields.
#[derive(Debug, Clone, Default)]
pub struct NewDevice {
    /// What its owner calls it.
    pub name: Option<String>,
    /// For example `ios`, `android` or `web`.
    pub platform: Option<String>,
}

/// Changes to a user: what is `None` stays, `Some(None)` clears.
#[derive(Debug, Clone, Default)]
pub struct UserPatch {
    /// Shown to others.
    pub name: Option<String>,
    /// E.164.
    pub phone: Option<Option<String>>,
    /// Profile picture.
    pub picture: Option<Option<MediaId>>,
    /// Privacy and push.
    pub settings: PatchSettings,
}

/// A password's hash in PHC form. The directory keeps it and never looks
/// inside; it cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl User {
    /// The linked device of that id.
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }
}

impl PasswordHash {
    /// Wraps a PHC string.
    pub fn new(phc: impl Into<String>) -> Self {
        Self(phc.into())
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl From<PatchMe> for UserPatch {
    fn from(patch: PatchMe) -> Self {
        let PatchMe { name, picture, phone, settings } = patch;
        Self { name, phone, picture, settings: settings.unwrap_or_default() }
    }
}
