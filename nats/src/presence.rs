//! The bucket of presence: who is online, and when who is not was last seen.
//! Presence workers write it, and every change is republished.

use schemas::{GatewayId, Millis, UserId, event::PresenceRecord};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::{
    api::Failure,
    bucket::{Bucket, How, PutError, Revised},
    bus::Bus,
    direct::{PAGE_ITEMS, Query},
    sessions::json,
    subject::PRESENCE_BUCKET,
};

/// Most bytes in one page of [`PresenceKv::page`].
const PAGE_BYTES: usize = 256 * 1024;
/// The key of what is known of the registry.
const REGISTRY: &str = "registry";
/// What is known of a gateway that is gone is of use to those who come back
/// after a weekend, and to nobody later.
const SIGN_OF_LIFE_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The bucket named [`PRESENCE_BUCKET`].
///
/// Its reads fail after [`crate::direct::READ_DEADLINE`] where nobody answers.
#[derive(Debug, Clone)]
pub struct PresenceKv {
    bucket: Bucket,
}

/// A user's presence and its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// Whose.
    pub user: UserId,
    /// What is known.
    pub record: PresenceRecord,
    /// Rises with every change.
    pub revision: u64,
}

/// The value under a gateway's key.
#[derive(Debug, Serialize, Deserialize)]
struct SignOfLife {
    at: Millis,
}

/// The value under [`REGISTRY`].
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    made_at: String,
}

impl PresenceKv {
    /// The bucket behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bucket: Bucket::new(bus, PRESENCE_BUCKET) }
    }

    /// A user's presence, from the leader; none of who was never online.
    ///
    /// # Errors
    /// See [`PresenceKv`].
    pub async fn newest(&self, user: UserId) -> Result<Option<Present>, Failure> {
        let newest = self.bucket.newest(&user.to_string()).await?;
        Ok(newest.and_then(|newest| Present::read(user, &newest)))
    }

    /// Writes a user's presence if its revision is still this one (0: there is none).
    ///
    /// # Errors
    /// [`PutError::Conflict`] at once where it is not.
    pub async fn put(
        &self,
        user: UserId,
        record: &PresenceRecord,
        revision: u64,
    ) -> Result<u64, PutError> {
        self.bucket.put(&user.to_string(), json(record), revision).await
    }

    /// The presence of these users, at most [`PAGE_ITEMS`], from any replica;
    /// those who were never online are left out.
    ///
    /// # Errors
    /// See [`PresenceKv`].
    pub async fn of(&self, users: &[UserId]) -> Result<Vec<Present>, Failure> {
        let subjects: Vec<_> =
            users.iter().map(|user| self.bucket.subject(&user.to_string())).collect();
        let entries = self.bucket.bus.reads.newest_of(&self.bucket.stream, &subjects).await?;
        Ok(entries.iter().filter_map(|entry| self.present(entry)).collect())
    }

    /// Everybody's presence with a revision of at least this one, and the
    /// revision to go on with unless these were all. From any replica.
    ///
    /// # Errors
    /// See [`PresenceKv`].
    pub async fn page(&self, from: u64) -> Result<(Vec<Present>, Option<u64>), Failure> {
        let filter = self.bucket.subject("*");
        let query = Query {
            stream: &self.bucket.stream,
            filter: &filter,
            from,
            max_items: PAGE_ITEMS,
            max_bytes: PAGE_BYTES,
        };
        let page = self.bucket.bus.reads.page(query).await?;
        let next = page.entries.last().map(|last| last.seq + 1).filter(|_| !page.end);
        Ok((page.entries.iter().filter_map(|entry| self.present(entry)).collect(), next))
    }

    /// Writes that a gateway was alive then.
    ///
    /// # Errors
    /// After [`crate::api::REQUEST_TIMEOUT`] without an answer; it may have been written.
    pub async fn note_alive(&self, gateway: GatewayId, at: Millis) -> Result<(), Failure> {
        let how = How { life: Some(SIGN_OF_LIFE_AGE), ..How::default() };
        let sign = json(&SignOfLife { at });
        Ok(self.bucket.write_once(&gateway.to_string(), sign, how).await.map(drop)?)
    }

    /// When a gateway was alive for certain, as far as that was noted.
    ///
    /// # Errors
    /// See [`PresenceKv`].
    pub async fn last_alive(&self, gateway: GatewayId) -> Result<Option<Millis>, Failure> {
        let newest = self.bucket.newest(&gateway.to_string()).await?;
        let sign = newest.and_then(|newest| serde_json::from_slice(&newest.value).ok());
        Ok(sign.map(|SignOfLife { at }| at))
    }

    /// Which registry was looked through last: see [`crate::Sessions::made_at`].
    ///
    /// # Errors
    /// See [`PresenceKv`].
    pub async fn known_registry(&self) -> Result<Option<String>, Failure> {
        let newest = self.bucket.newest(REGISTRY).await?;
        let known = newest.and_then(|newest| serde_json::from_slice(&newest.value).ok());
        Ok(known.map(|Known { made_at }| made_at))
    }

    /// Writes which registry was looked through.
    ///
    /// # Errors
    /// After [`crate::api::REQUEST_TIMEOUT`] without an answer; it may have been written.
    pub async fn know_registry(&self, made_at: String) -> Result<(), Failure> {
        let known = json(&Known { made_at });
        Ok(self.bucket.write_once(REGISTRY, known, How::default()).await.map(drop)?)
    }

    fn present(&self, entry: &crate::direct::Entry) -> Option<Present> {
        let key = entry.subject().strip_prefix(&self.bucket.subject(""))?;
        let record = serde_json::from_slice(&entry.payload).ok()?;
        Some(Present { user: key.parse().ok()?, record, revision: entry.seq })
    }
}

impl Present {
    fn read(user: UserId, stored: &Revised) -> Option<Self> {
        let record = serde_json::from_slice(&stored.value).ok()?;
        Some(Self { user, record, revision: stored.revision })
    }
}
