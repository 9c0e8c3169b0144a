//! How users and blocks are stored, and what each change does to a document.
//!
//! Pure: an implementation reads a document, calls the change, and stores the
//! result if nobody else stored one meanwhile.
//!
//! During a rolling upgrade two versions share the documents, so fields this
//! version does not know are kept (`rest`), and what may be missing has a default.

use schemas::{
    DeviceId, MediaId, Micros, Millis, UserId,
    http::{PatchSettings, Settings},
    limits::{BLOCKED_USERS, DEVICES},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::DirectoryError,
    token::{RefreshClaim, Rotation, TokenState},
    user::{Device, NewDevice, NewUser, PasswordHash, User, UserPatch},
    username::Username,
};

/// A user with devices, token state and settings.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct UserDocument {
    id: UserId,
    username: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    picture: Option<MediaId>,
    password_hash: String,
    #[serde(default)]
    settings: SettingsDocument,
    #[serde(default)]
    devices: Vec<DeviceDocument>,
    created: Millis,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Only what its user chose: the rest follows the defaults, also those of settings yet to come.
#[derive(Clone, Default, Serialize, Deserialize)]
struct SettingsDocument {
    #[serde(flatten)]
    chosen: PatchSettings,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DeviceDocument {
    id: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    linked: Millis,
    tokens: TokenState,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Whom a user has blocked. A document of its own: at the limit it is some
/// 30 KiB, which the user's document, rewritten at every token rotation and
/// read for every recipient, should not carry along.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct BlockedDocument {
    users: Vec<UserId>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl UserDocument {
    pub(crate) fn new(id: UserId, new: NewUser) -> Self {
        let NewUser { username, name, phone, password_hash, device } = new;
        Self {
            id,
            username: username.as_str().to_owned(),
            name,
            phone,
            picture: None,
            password_hash: password_hash.as_str().to_owned(),
            settings: SettingsDocument::default(),
            devices: vec![DeviceDocument::new(device)],
            created: Millis::now(),
            rest: Map::new(),
        }
    }

    pub(crate) fn to_user(&self) -> User {
        User {
            id: self.id,
            username: Username::accepted(self.username.clone()),
            name: self.name.clone(),
            phone: self.phone.clone(),
            picture: self.picture,
            password_hash: PasswordHash::new(&self.password_hash),
            settings: self.settings.in_force(),
            devices: self.devices.iter().map(DeviceDocument::to_device).collect(),
            created: self.created,
        }
    }

    pub(crate) fn patch(&mut self, patch: &UserPatch) {
        let UserPatch { name, phone, picture, settings } = patch;
        if let Some(name) = name {
            self.name.clone_from(name);
        }
        if let Some(phone) = phone {
            self.phone.clone_from(phone);
        }
        if let Some(picture) = picture {
            self.picture = *picture;
        }
        self.settings.patch(settings);
    }

    /// Answers false when the device is linked already: an earlier try of the
    /// same call was stored although its answer was lost.
    pub(crate) fn link(&mut self, device: &DeviceDocument) -> Result<bool, DirectoryError> {
        if self.devices.iter().any(|linked| linked.id == device.id) {
            return Ok(false);
        }
        if self.devices.len() >= DEVICES {
            return Err(DirectoryError::LimitReached { what: "devices", limit: DEVICES });
        }
        self.devices.push(device.clone());
        Ok(true)
    }

    /// Answers whether it was linked.
    pub(crate) fn unlink(&mut self, device: DeviceId) -> bool {
        let before = self.devices.len();
        self.devices.retain(|linked| linked.id != device);
        self.devices.len() < before
    }

    pub(crate) fn renew_family(&mut self, device: DeviceId) -> Result<Device, DirectoryError> {
        let device = self.device_mut(device).ok_or(DirectoryError::NotFound("device"))?;
        device.tokens = TokenState::first_issued();
        Ok(device.to_device())
    }

    pub(crate) fn rotate(
        &mut self,
        device: DeviceId,
        presented: RefreshClaim,
        now: Micros,
    ) -> Rotation {
        let Some(device) = self.device_mut(device) else { return Rotation::Refused };
        let (after, rotation) = device.tokens.present(presented, now);
        device.tokens = after;
        rotation
    }

    fn device_mut(&mut self, id: DeviceId) -> Option<&mut DeviceDocument> {
        self.devices.iter_mut().find(|device| device.id == id)
    }
}

impl SettingsDocument {
    fn in_force(&self) -> Settings {
        let PatchSettings { last_seen, read_receipts, push_preview } = self.chosen;
        let default = Settings::default();
        Settings {
            last_seen: last_seen.unwrap_or(default.last_seen),
            read_receipts: read_receipts.unwrap_or(default.read_receipts),
            push_preview: push_preview.unwrap_or(default.push_preview),
        }
    }

    fn patch(&mut self, patch: &PatchSettings) {
        let chosen = &mut self.chosen;
        chosen.last_seen = patch.last_seen.or(chosen.last_seen);
        chosen.read_receipts = patch.read_receipts.or(chosen.read_receipts);
        chosen.push_preview = patch.push_preview.or(chosen.push_preview);
    }
}

impl DeviceDocument {
    pub(crate) fn new(device: NewDevice) -> Self {
        let NewDevice { name, platform } = device;
        Self {
            id: DeviceId::mint(),
            name,
            platform,
            linked: Millis::now(),
            tokens: TokenState::first_issued(),
            rest: Map::new(),
        }
    }

    pub(crate) fn to_device(&self) -> Device {
        Device {
            id: self.id,
            name: self.name.clone(),
            platform: self.platform.clone(),
            linked: self.linked,
            tokens: self.tokens,
        }
    }
}

impl BlockedDocument {
    /// Answers whether that changed anything.
    pub(crate) fn block(&mut self, user: UserId) -> Result<bool, DirectoryError> {
        if self.users.contains(&user) {
            return Ok(false);
        }
        if self.users.len() >= BLOCKED_USERS {
            let what = "blocked users";
            return Err(DirectoryError::LimitReached { what, limit: BLOCKED_USERS });
        }
        self.users.push(user);
        Ok(true)
    }

    /// Answers whether that changed anything.
    pub(crate) fn unblock(&mut self, user: UserId) -> bool {
        let before = self.users.len();
        self.users.retain(|blocked| *blocked != user);
        self.users.len() < before
    }

    pub(crate) fn into_users(self) -> Vec<UserId> {
        self.users
    }
}
