//! What can be done with inboxes: store, read, delete, purge.

use std::time::Duration;

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID};
use bytes::Bytes;
use schemas::{DeviceId, Millis, UserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    api::{self, ApiError, Failure, Question, REQUEST_TIMEOUT, ServerError},
    bus::Bus,
    direct::Query,
    leader::{self, Select},
    subject,
};

/// How long a message is tried to be stored. Losing the leader of a replicated
/// stream stalls its shards for about 8 s, and a send is to outlast that.
pub const STORE_DEADLINE: Duration = Duration::from_secs(15);

/// How long a delete or a purge is tried.
pub const DELETE_DEADLINE: Duration = Duration::from_secs(5);

/// What [`Inboxes::read`], [`Inboxes::read_leader`], [`Inboxes::clamp`] and
/// [`Inboxes::get`] fail with.
pub type ReadError = Failure;
/// What [`Inboxes::delete`] and [`Inboxes::purge`] fail with.
pub type DeleteError = Failure;

/// All devices' inboxes.
#[derive(Debug, Clone)]
pub struct Inboxes {
    bus: Bus,
}

/// A message is durably in an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its position there.
    pub seq: u64,
    /// It was stored by an earlier call with the same id.
    pub duplicate: bool,
}

/// Why a message is not in the inbox, as far as is known.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The device has not fetched its messages and its inbox is at its limit.
    #[error("the inbox is full")]
    Full,
    /// No acknowledgement within [`STORE_DEADLINE`]. The message may still
    /// turn out to be stored: try again with the same id.
    #[error("JetStream is unavailable")]
    Unavailable(#[source] ApiError),
    /// JetStream will not store it, now or later.
    #[error("JetStream refused the message")]
    Refused(#[source] ApiError),
}

/// A message in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its position in the user's shard.
    pub seq: u64,
    /// The stored message: JSON of [`schemas::stored::StoredMessage`].
    pub payload: Bytes,
}

/// A run of an inbox's messages without a hole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In order of their `seq`.
    pub messages: Vec<StoredEntry>,
    /// Nothing lay beyond this page, as far as the replica that answered knew.
    pub end: bool,
}

impl Inboxes {
    /// The inboxes behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Stores a message in a device's inbox. It is tried again under the same
    /// `dedupe_id` until it is acknowledged, refused or [`STORE_DEADLINE`] has
    /// passed, so it ends up there once however often that takes.
    ///
    /// # Errors
    /// [`StoreError::Full`] at once when the inbox is at its limit.
    pub async fn store(
        &self,
        user: UserId,
        device: DeviceId,
        dedupe_id: &str,
        stored: Bytes,
    ) -> Result<Stored, StoreError> {
        #[derive(Deserialize)]
        struct Ack {
            seq: u64,
            #[serde(default)]
            duplicate: bool,
        }
        let question = || {
            let subject = subject::inbox(self.bus.shards, user, device);
            let mut headers = HeaderMap::new();
            headers.insert(NATS_MESSAGE_ID, dedupe_id);
            Question { subject, headers: Some(headers), payload: stored.clone() }
        };
        let ack = self.bus.requester.insist(question, STORE_DEADLINE, REQUEST_TIMEOUT, api::read);
        match ack.await {
            Ok(Ack { seq, duplicate }) => Ok(Stored { seq, duplicate }),
            Err(error) if error.is_full() => Err(StoreError::Full),
            Err(error) if error.is_transient() => Err(StoreError::Unavailable(error)),
            Err(error) => Err(StoreError::Refused(error)),
        }
    }

    /// Reads stored messages with `seq >= from`, up to `max_items`. A page also
    /// ends with the message that reaches `max_bytes` (of subject, headers and
    /// payload), so it holds at least one where there is one.
    ///
    /// # Errors
    /// When no replica answered within [`crate::direct::READ_DEADLINE`].
    pub async fn read(
        &self,
        user: UserId,
        device: DeviceId,
        from: u64,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<Page, ReadError> {
        let stream = self.stream(user);
        let filter = subject::inbox(self.bus.shards, user, device);
        let query = Query { stream: &stream, filter: &filter, from, max_items, max_bytes };
        let page = self.bus.reads.page(query).await?;
        let messages = page.entries.into_iter();
        Ok(Page {
            messages: messages
                .map(|entry| StoredEntry { seq: entry.seq, payload: entry.payload })
                .collect(),
            end: page.end,
        })
    }

    /// How many messages wait in a device's inbox, and the newest of them, from
    /// any replica.
    ///
    /// # Errors
    /// When no replica answered within [`crate::direct::READ_DEADLINE`].
    pub async fn waiting(
        &self,
        user: UserId,
        device: DeviceId,
    ) -> Result<(u64, Option<StoredEntry>), ReadError> {
        let (stream, filter) = (self.stream(user), subject::inbox(self.bus.shards, user, device));
        let query = Query { stream: &stream, filter: &filter, from: 1, max_items: 1, max_bytes: 1 };
        let (oldest, newest) =
            tokio::try_join!(self.bus.reads.page(query), self.bus.reads.last(&stream, &filter))?;
        let count = oldest.entries.first().map_or(0, |oldest| 1 + oldest.pending());
        let newest = newest.map(|newest| StoredEntry { seq: newest.seq, payload: newest.payload });
        Ok((count, newest))
    }

    /// Asks the shard's leader for the first message with `seq >= from`: what
    /// replicas that lag cannot hide.
    ///
    /// # Errors
    /// When there was no leader to answer within [`crate::direct::READ_DEADLINE`].
    pub async fn read_leader(
        &self,
        user: UserId,
        device: DeviceId,
        from: u64,
    ) -> Result<Option<StoredEntry>, ReadError> {
        let filter = subject::inbox(self.bus.shards, user, device);
        let select = Select::From { seq: from.max(1), next_by_subj: &filter };
        let found = leader::read(&self.bus.requester, &self.stream(user), select).await?;
        Ok(found.map(|found| StoredEntry { seq: found.seq, payload: found.payload }))
    }

    /// When the oldest message that waits in a device's inbox was stored; none
    /// where it is empty. No replica's lag shows.
    ///
    /// # Errors
    /// When there was no leader to answer within [`crate::direct::READ_DEADLINE`].
    pub async fn waiting_since(
        &self,
        user: UserId,
        device: DeviceId,
    ) -> Result<Option<Millis>, ReadError> {
        let filter = subject::inbox(self.bus.shards, user, device);
        let select = Select::From { seq: 1, next_by_subj: &filter };
        let found = leader::read(&self.bus.requester, &self.stream(user), select).await?;
        Ok(found.map(|found| found.stored))
    }

    /// This position in a device's inbox, or that of the newest message where it
    /// lies beyond; none where the inbox is empty. No replica's lag shows.
    ///
    /// # Errors
    /// When nobody answered within [`crate::direct::READ_DEADLINE`].
    pub async fn clamp(
        &self,
        user: UserId,
        device: DeviceId,
        seq: u64,
    ) -> Result<Option<u64>, ReadError> {
        let (stream, filter) = (self.stream(user), subject::inbox(self.bus.shards, user, device));
        let newest = self.bus.reads.last(&stream, &filter).await?;
        if newest.is_some_and(|newest| newest.seq >= seq) {
            return Ok(Some(seq));
        }
        let select = Select::Last { last_by_subj: &filter };
        let newest = leader::read(&self.bus.requester, &stream, select).await?;
        Ok(newest.map(|newest| newest.seq.min(seq)))
    }

    /// One message by its position in the user's shard; none when it is not
    /// there, or lies in somebody else's inbox.
    ///
    /// # Errors
    /// When nobody answered within [`crate::direct::READ_DEADLINE`].
    pub async fn get(&self, user: UserId, seq: u64) -> Result<Option<Bytes>, ReadError> {
        let stream = self.stream(user);
        let theirs = subject::inboxes_prefix(self.bus.shards, user);
        if let Some(entry) = self.bus.reads.at(&stream, seq).await? {
            return Ok(entry.subject().starts_with(&theirs).then_some(entry.payload));
        }
        let found = leader::read(&self.bus.requester, &stream, Select::At { seq }).await?;
        Ok(found.filter(|found| found.subject.starts_with(&theirs)).map(|found| found.payload))
    }

    /// Deletes a delivered message. Its bytes are not overwritten on the disk
    /// (that costs hundreds of times as much), they only become unreachable
    /// until the block is compacted. An absent message is no error.
    ///
    /// # Errors
    /// When there was no leader to answer within [`DELETE_DEADLINE`].
    pub async fn delete(&self, user: UserId, seq: u64) -> Result<(), DeleteError> {
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{}", self.stream(user));
        match self.ask::<Done>(subject, format!(r#"{{"seq":{seq},"no_erase":true}}"#)).await {
            Ok(Done {}) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a device's messages up to this `seq`, inclusive, or all of
    /// them; says how many.
    ///
    /// # Errors
    /// When there was no leader to answer within [`DELETE_DEADLINE`].
    pub async fn purge(
        &self,
        user: UserId,
        device: DeviceId,
        up_to: Option<u64>,
    ) -> Result<u64, DeleteError> {
        #[derive(Serialize)]
        struct Purge<'a> {
            filter: &'a str,
            /// Exclusive, and everything where it is absent.
            #[serde(skip_serializing_if = "Option::is_none")]
            seq: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Purged {
            purged: u64,
        }
        let filter = subject::inbox(self.bus.shards, user, device);
        let purge = Purge { filter: &filter, seq: up_to.map(|seq| seq.saturating_add(1)) };
        #[allow(clippy::expect_used, reason = "numbers and strings are always JSON")]
        let purge = serde_json::to_vec(&purge).expect("a purge is always JSON");
        let subject = format!("$JS.API.STREAM.PURGE.{}", self.stream(user));
        let Purged { purged } = self.ask(subject, purge).await?;
        Ok(purged)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        request: impl Into<Bytes>,
    ) -> Result<T, ApiError> {
        let requester = &self.bus.requester;
        let request = request.into();
        let question = || Question::new(subject.clone(), request.clone());
        requester.insist(question, DELETE_DEADLINE, REQUEST_TIMEOUT, api::read).await
    }

    fn stream(&self, user: UserId) -> String {
        subject::inbox_stream(self.bus.shards.of(user))
    }
}

#[derive(Deserialize)]
struct Done {}

/// Where a message is not there, the server says so in four ways, which depend
/// on how it went and on whether the stream is replicated.
fn is_absent(error: &ApiError) -> bool {
    const ABSENT: [&str; 3] = ["no message found", "stream store EOF", "deleted message"];
    match error {
        ApiError::Server(error) if error.number == ServerError::SEQUENCE_NOT_FOUND => true,
        ApiError::Server(error) if error.number == ServerError::DELETE_FAILED => {
            ABSENT.contains(&error.description.as_str())
        }
        _ => false,
    }
}
