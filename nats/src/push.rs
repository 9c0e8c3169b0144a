//! The bucket of push: what devices were told while they were away, and the
//! key with which web push services know Petrel.

use std::time::Duration;

use bytes::Bytes;
use schemas::{ChatId, DeviceId, UserId, event::PushRecord};
use serde::{Deserialize, Serialize};

use crate::{
    api::Failure,
    bucket::{Bucket, How, PutError, Revised},
    bus::Bus,
    sessions::json,
    subject::PUSH_BUCKET,
};

/// After which time it is forgotten what a device was told: messages that still
/// wait then are no news.
pub const RECORD_AGE: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// The key of what gateways tell web clients.
const VAPID: &str = "vapid";

/// The bucket named [`PUSH_BUCKET`].
///
/// Its reads fail after [`crate::direct::READ_DEADLINE`] where nobody answers.
#[derive(Debug, Clone)]
pub struct PushKv {
    bucket: Bucket,
}

/// Whose, on which of their devices, about which chat.
pub type About = (UserId, DeviceId, ChatId);

/// What a device was told of one chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The record.
    pub record: PushRecord,
    /// Rises with every change.
    pub revision: u64,
}

#[derive(Serialize, Deserialize)]
struct Vapid {
    public_key: String,
}

impl PushKv {
    /// The bucket behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bucket: Bucket::new(bus, PUSH_BUCKET) }
    }

    /// What a device was told of a chat, from any replica: it may lag behind the
    /// newest, which a following [`PushKv::tell`] then finds out.
    ///
    /// # Errors
    /// See [`PushKv`].
    pub async fn told(&self, about: About) -> Result<Option<Told>, Failure> {
        Ok(self.bucket.get(&key(about)).await?.as_ref().and_then(Told::read))
    }

    /// The same from the leader.
    ///
    /// # Errors
    /// See [`PushKv`].
    pub async fn told_newest(&self, about: About) -> Result<Option<Told>, Failure> {
        Ok(self.bucket.newest(&key(about)).await?.as_ref().and_then(Told::read))
    }

    /// Writes what a device was told of a chat, if its revision is still this
    /// one (0: there is none); gives the new one.
    ///
    /// # Errors
    /// [`PutError::Conflict`] where it is not.
    pub async fn tell(
        &self,
        about: About,
        record: &PushRecord,
        revision: u64,
    ) -> Result<u64, PutError> {
        let how = How { life: Some(RECORD_AGE), deletes: false, revision: Some(revision) };
        Ok(self.bucket.write_once(&key(about), json(record), how).await?)
    }

    /// The public key of Petrel's web push (RFC 8292), in base64url; none as
    /// long as no worker has one. From any replica.
    ///
    /// # Errors
    /// See [`PushKv`].
    pub async fn vapid(&self) -> Result<Option<String>, Failure> {
        let value = self.bucket.get(VAPID).await?;
        Ok(value.and_then(|value| read_vapid(&value.value)))
    }

    /// Says what that key is, unless that is said already; whether it was not.
    ///
    /// # Errors
    /// [`PutError::Conflict`] where another worker says something else at the
    /// same moment.
    pub async fn set_vapid(&self, public_key: &str) -> Result<bool, PutError> {
        let newest = self.bucket.newest(VAPID).await?;
        let said = newest.as_ref().and_then(|newest| read_vapid(&newest.value));
        if said.as_deref() == Some(public_key) {
            return Ok(false);
        }
        let value = json(&Vapid { public_key: public_key.to_owned() });
        self.bucket.put(VAPID, value, newest.map_or(0, |newest| newest.revision)).await?;
        Ok(true)
    }
}

impl Told {
    fn read(stored: &Revised) -> Option<Self> {
        let record = serde_json::from_slice(&stored.value).ok()?;
        Some(Self { record, revision: stored.revision })
    }
}

fn key((user, device, chat): About) -> String {
    format!("{user}.{device}.{chat}")
}

fn read_vapid(value: &Bytes) -> Option<String> {
    serde_json::from_slice::<Vapid>(value).ok().map(|vapid| vapid.public_key)
}
