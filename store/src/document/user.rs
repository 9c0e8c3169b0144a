//! Users as they are stored.

use schemas::{
    DeviceId, MediaId, Micros, Millis, PushTarget, UserId,
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

/// A user with devices, token state, blocks and settings.
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
    /// Here although they may come to 30 KiB at the limit: whoever sends to a
    /// user asks for devices, blocks and settings at once. Most block nobody,
    /// and for each of them the leader would have to confirm that a document
    /// of its own is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    blocked: Vec<UserId>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    push: Option<PushTarget>,
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
            blocked: Vec::new(),
            created: Millis::now(),
            rest: Map::new(),
        }
    }

    pub(crate) fn id(&self) -> UserId {
        self.id
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
            blocked: self.blocked.clone(),
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

    /// Answers whether that changed anything.
    pub(crate) fn set_push(
        &mut self,
        device: DeviceId,
        target: Option<PushTarget>,
    ) -> Result<bool, DirectoryError> {
        let device = self.device_mut(device).ok_or(DirectoryError::NotFound("device"))?;
        let changed = device.push != target;
        device.push = target;
        Ok(changed)
    }

    /// Answers whether the device had that target until now.
    pub(crate) fn drop_push(&mut self, device: DeviceId, target: &PushTarget) -> bool {
        self.device_mut(device)
            .and_then(|device| device.push.take_if(|had| had == target))
            .is_some()
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
        if rotation == Rotation::Revoked {
            // Whoever used the token may have said how the device is woken, too.
            device.push = None;
        }
        rotation
    }

    /// Answers whether that changed anything.
    pub(crate) fn block(&mut self, other: UserId) -> Result<bool, DirectoryError> {
        if self.blocked.contains(&other) {
            return Ok(false);
        }
        if self.blocked.len() >= BLOCKED_USERS {
            let what = "blocked users";
            return Err(DirectoryError::LimitReached { what, limit: BLOCKED_USERS });
        }
        self.blocked.push(other);
        Ok(true)
    }

    /// Answers whether that changed anything.
    pub(crate) fn unblock(&mut self, other: UserId) -> bool {
        let before = self.blocked.len();
        self.blocked.retain(|blocked| *blocked != other);
        self.blocked.len() < before
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
            push: None,
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
            push: self.push.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use schemas::http::LastSeen;
    use serde_json::json;

    use super::*;

    fn new_user() -> NewUser {
        NewUser {
            username: "Ada".parse().unwrap(),
            name: "Ada Lovelace".into(),
            phone: Some("+441234".into()),
            password_hash: PasswordHash::new("$argon2id$secret"),
            device: NewDevice { name: Some("engine".into()), platform: None },
        }
    }

    #[test]
    fn a_user_is_read_back_as_registered() {
        let id = UserId::mint();
        let document = UserDocument::new(id, new_user());
        let stored = serde_json::to_string(&document).unwrap();
        let read: UserDocument = serde_json::from_str(&stored).unwrap();
        let user = read.to_user();
        assert_eq!(user, document.to_user());
        assert_eq!((user.id, user.username.as_str()), (id, "Ada"));
        assert_eq!(user.password_hash.as_str(), "$argon2id$secret");
        assert_eq!(user.settings, Settings::default());
        assert_eq!(user.devices[0].tokens.newest().number, 1);
    }

    #[test]
    fn a_password_hash_is_never_printed() {
        let new = new_user();
        let user = UserDocument::new(UserId::mint(), new_user()).to_user();
        for printed in [format!("{new:?}"), format!("{user:?}")] {
            assert!(printed.contains("Lovelace") && !printed.contains("argon2"), "{printed}");
        }
    }

    #[test]
    fn fields_of_a_newer_version_survive_every_change() {
        let mut stored =
            serde_json::to_value(UserDocument::new(UserId::mint(), new_user())).unwrap();
        stored["badge"] = json!("gold");
        stored["settings"]["theme"] = json!("dark");
        stored["devices"][0]["ringtone"] = json!({"name": "harp"});

        let mut document: UserDocument = serde_json::from_value(stored).unwrap();
        let device = document.devices[0].id;
        let settings = PatchSettings { read_receipts: Some(false), ..PatchSettings::default() };
        document.patch(&UserPatch { settings, ..UserPatch::default() });
        document.link(&DeviceDocument::new(NewDevice::default())).unwrap();
        document.renew_family(device).unwrap();

        let stored = serde_json::to_value(&document).unwrap();
        assert_eq!(stored["badge"], "gold");
        assert_eq!(stored["settings"], json!({"read_receipts": false, "theme": "dark"}));
        assert_eq!(stored["devices"][0]["ringtone"]["name"], "harp");
    }

    #[test]
    fn an_unchosen_setting_follows_the_default() {
        let mut document = UserDocument::new(UserId::mint(), new_user());
        let settings = PatchSettings { last_seen: Some(LastSeen::Nobody), ..Default::default() };
        document.patch(&UserPatch { settings, ..UserPatch::default() });
        let stored = serde_json::to_value(&document).unwrap();
        assert_eq!(stored["settings"], json!({"last_seen": "nobody"}));
        let expected = Settings { last_seen: LastSeen::Nobody, ..Settings::default() };
        assert_eq!(document.to_user().settings, expected);
    }

    #[test]
    fn a_link_whose_answer_was_lost_is_not_linked_again() {
        let mut document = UserDocument::new(UserId::mint(), new_user());
        let device = DeviceDocument::new(NewDevice::default());
        assert!(document.link(&device).unwrap());
        assert!(!document.link(&device).unwrap());
        assert_eq!(document.to_user().devices.len(), 2);
    }
}
