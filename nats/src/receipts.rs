//! The receipts bucket: watermarks and read marks, written by compare-and-set.

use bytes::Bytes;
use schemas::UserId;

use crate::{
    api::Failure,
    bucket::Bucket,
    bus::Bus,
    direct::Query,
    subject::{self, RECEIPTS_BUCKET},
};

pub use crate::bucket::{PutError, Revised};

/// The bucket named [`RECEIPTS_BUCKET`]. Its values are JSON of
/// [`schemas::event::Watermark`] or [`schemas::event::ReadMarks`].
///
/// [`Failure`] is what its reads fail with, after
/// [`crate::direct::READ_DEADLINE`] where nobody answers.
#[derive(Debug, Clone)]
pub struct ReceiptsKv {
    bucket: Bucket,
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

impl ReceiptsKv {
    /// Most bytes in one page of [`ReceiptsKv::read_after`].
    pub const PAGE_BYTES: usize = 256 * 1024;

    /// The bucket behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bucket: Bucket::new(bus, RECEIPTS_BUCKET) }
    }

    /// A key's value, from any replica: it may lag behind the newest, which a
    /// following [`ReceiptsKv::put`] then finds out.
    ///
    /// # Errors
    /// See [`ReceiptsKv`].
    pub async fn get(&self, key: &str) -> Result<Option<Revised>, Failure> {
        self.bucket.get(key).await
    }

    /// A key's newest value, from the leader.
    ///
    /// # Errors
    /// See [`ReceiptsKv`].
    pub async fn get_newest(&self, key: &str) -> Result<Option<Revised>, Failure> {
        self.bucket.newest(key).await
    }

    /// Writes a value if the key's revision is still this one (0: the key is
    /// not there yet); gives the new revision.
    ///
    /// # Errors
    /// [`PutError::Conflict`] at once where it is not.
    pub async fn put(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, PutError> {
        self.bucket.put(key, value, revision).await
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
            stream: &self.bucket.stream,
            filter: &filter,
            from: revision.saturating_add(1),
            max_items,
            max_bytes: Self::PAGE_BYTES,
        };
        let page = self.bucket.bus.reads.page_of_newest(query).await?;
        let prefix = self.bucket.subject("");
        let items = page.entries.into_iter().filter_map(|entry| {
            let key = entry.subject().strip_prefix(&prefix)?.to_owned();
            Some(Keyed { key, value: entry.payload, revision: entry.seq })
        });
        Ok(ReceiptsPage { items: items.collect(), end: page.end })
    }
}
