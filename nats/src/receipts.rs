//! The receipts bucket: watermarks and read marks, written by compare-and-set.

use async_nats::{HeaderMap, HeaderValue, header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use bytes::Bytes;
use schemas::UserId;
use serde::Deserialize;

use crate::{
    api::{self, ApiError, Failure, Question, REQUEST_TIMEOUT, ServerError},
    bus::Bus,
    direct::Query,
    inbox::STORE_DEADLINE,
    leader::{self, Select},
    subject::{self, RECEIPTS_BUCKET},
};

/// The bucket named [`RECEIPTS_BUCKET`].
///
/// [`Failure`] is what its reads fail with, after
/// [`crate::direct::READ_DEADLINE`] where nobody answers.
#[derive(Debug, Clone)]
pub struct ReceiptsKv {
    bus: Bus,
    stream: String,
}

/// A value and the revision it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised {
    /// JSON of [`schemas::event::Watermark`] or [`schemas::event::ReadMarks`].
    pub value: Bytes,
    /// Rises over the whole bucket.
    pub revision: u64,
}

/// A key with its newest value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// See [`subject::receipt_key`] and [`subject::read_key`].
    pub key: String,
    /// JSON of [`schemas::event::Watermark`] or [`schemas::event::ReadMarks`].
    pub value: Bytes,
    /// Rises over the whole bucket.
    pub revision: u64,
}

/// Some of what one user's sessions are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptsPage {
    /// In order of their revision, each key once.
    pub items: Vec<Keyed>,
    /// Nothing lay beyond this page when it was read.
    pub end: bool,
}

/// Why a value was not written, as far as is known.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The key's revision is another one: read it again with
    /// [`ReceiptsKv::get_newest`], merge, and put that. It may be one's own
    /// write, whose acknowledgement was lost.
    #[error("another revision was written")]
    Conflict,
    /// No acknowledgement within [`STORE_DEADLINE`]; it may still have been written.
    #[error("JetStream is unavailable")]
    Unavailable(#[source] ApiError),
    /// JetStream will not write it, now or later.
    #[error("JetStream refused the value")]
    Refused(#[source] ApiError),
}

impl ReceiptsKv {
    /// Most bytes in one page of [`ReceiptsKv::read_after`].
    pub const PAGE_BYTES: usize = 256 * 1024;

    /// The bucket behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bus, stream: subject::bucket_stream(RECEIPTS_BUCKET) }
    }

    /// A key's value, from any replica: it may lag behind the newest, which a
    /// following [`ReceiptsKv::put`] then finds out.
    ///
    /// # Errors
    /// See [`ReceiptsKv`].
    pub async fn get(&self, key: &str) -> Result<Option<Revised>, Failure> {
        let subject = subject::bucket_subject(RECEIPTS_BUCKET, key);
        let entry = self.bus.reads.last(&self.stream, &subject).await?;
        Ok(entry.map(|entry| Revised { value: entry.payload, revision: entry.seq }))
    }

    /// A key's newest value, from the leader.
    ///
    /// # Errors
    /// See [`ReceiptsKv`].
    pub async fn get_newest(&self, key: &str) -> Result<Option<Revised>, Failure> {
        let subject = subject::bucket_subject(RECEIPTS_BUCKET, key);
        let select = Select::Last { last_by_subj: &subject };
        let found = leader::read(&self.bus.requester, &self.stream, select).await?;
        Ok(found.map(|found| Revised { value: found.payload, revision: found.seq }))
    }

    /// Writes a value if the key's revision is still this one (0: the key is
    /// not there yet); gives the new revision.
    ///
    /// # Errors
    /// [`PutError::Conflict`] at once where it is not.
    pub async fn put(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, PutError> {
        #[derive(Deserialize)]
        struct Ack {
            seq: u64,
        }
        let question = || {
            let subject = subject::bucket_subject(RECEIPTS_BUCKET, key);
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(revision));
            Question { subject, headers: Some(headers), payload: value.clone() }
        };
        let ack = self.bus.requester.insist(question, STORE_DEADLINE, REQUEST_TIMEOUT, api::read);
        match ack.await {
            Ok(Ack { seq }) => Ok(seq),
            Err(error) if is_conflict(&error) => Err(PutError::Conflict),
            Err(error) if error.is_transient() => Err(PutError::Unavailable(error)),
            Err(error) => Err(PutError::Refused(error)),
        }
    }

    /// What a user's sessions are told with a revision greater than this one,
    /// from any replica; a page also ends near [`ReceiptsKv::PAGE_BYTES`].
    ///
    /// # Errors
    /// See [`ReceiptsKv`].
    pub async fn read_after(
        &self,
        user: UserId,
        revision: u64,
        max_items: usize,
    ) -> Result<ReceiptsPage, Failure> {
        let filter = subject::receipts_of(user);
        let query = Query {
            stream: &self.stream,
            filter: &filter,
            from: revision.saturating_add(1),
            max_items,
            max_bytes: Self::PAGE_BYTES,
        };
        let page = self.bus.reads.page_of_newest(query).await?;
        let prefix = subject::bucket_subject(RECEIPTS_BUCKET, "");
        let items = page.entries.into_iter().filter_map(|entry| {
            let key = entry.subject().strip_prefix(&prefix)?.to_owned();
            Some(Keyed { key, value: entry.payload, revision: entry.seq })
        });
        Ok(ReceiptsPage { items: items.collect(), end: page.end })
    }
}

fn is_conflict(error: &ApiError) -> bool {
    error.is(ServerError::WRONG_LAST_SEQUENCE)
        || error.is(ServerError::WRONG_LAST_SEQUENCE_IN_FLIGHT)
}
