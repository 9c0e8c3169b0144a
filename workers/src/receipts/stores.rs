//! What the receipts worker asks of NATS, as traits: its tests stand in for
//! the stores, with failures and other workers between any two steps.

use std::{fmt, future::Future};

use bytes::Bytes;
use nats::{
    Inboxes as NatsInboxes, ReceiptsKv,
    api::Failure,
    receipts::{PutError, Revised},
};

use super::fold::InboxKey;

/// Why a store did not do what it was asked. Whoever gets it tries again later.
#[derive(Debug)]
pub(crate) struct Unavailable(Box<dyn std::error::Error + Send + Sync>);

impl Unavailable {
    pub(crate) fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Why a value was not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The key has another revision.
    Conflict,
    /// Nobody knows whether it was.
    Unavailable(Unavailable),
}

/// The receipts bucket.
pub(crate) trait Bucket: Send + Sync + 'static {
    /// A key's value, which may lag behind the newest.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Revised>, Unavailable>> + Send;

    /// A key's newest value.
    fn get_newest(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<Revised>, Unavailable>> + Send;

    /// Writes a value if the key still has this revision; gives the new one.
    fn put(
        &self,
        key: &str,
        value: Bytes,
        revision: u64,
    ) -> impl Future<Output = Result<u64, Unwritten>> + Send;
}

/// The inboxes.
pub(crate) trait Inboxes: Send + Sync + 'static {
    /// Deletes one message; an absent one is no error.
    fn delete(
        &self,
        inbox: InboxKey,
        seq: u64,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Deletes all messages up to this one, inclusive; says how many.
    fn purge(
        &self,
        inbox: InboxKey,
        up_to: u64,
    ) -> impl Future<Output = Result<u64, Unavailable>> + Send;

    /// The first message there is, as some replica knows it.
    fn oldest(
        &self,
        inbox: InboxKey,
    ) -> impl Future<Output = Result<Option<u64>, Unavailable>> + Send;
}

impl Bucket for ReceiptsKv {
    async fn get(&self, key: &str) -> Result<Option<Revised>, Unavailable> {
        Ok(ReceiptsKv::get(self, key).await?)
    }

    async fn get_newest(&self, key: &str) -> Result<Option<Revised>, Unavailable> {
        Ok(ReceiptsKv::get_newest(self, key).await?)
    }

    async fn put(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, Unwritten> {
        ReceiptsKv::put(self, key, value, revision).await.map_err(|error| match error {
            PutError::Conflict => Unwritten::Conflict,
            error => Unwritten::Unavailable(Unavailable::new(error)),
        })
    }
}

impl Inboxes for NatsInboxes {
    async fn delete(&self, inbox: InboxKey, seq: u64) -> Result<(), Unavailable> {
        Ok(NatsInboxes::delete(self, inbox.user, seq).await?)
    }

    async fn purge(&self, inbox: InboxKey, up_to: u64) -> Result<u64, Unavailable> {
        Ok(NatsInboxes::purge(self, inbox.user, inbox.device, Some(up_to)).await?)
    }

    async fn oldest(&self, inbox: InboxKey) -> Result<Option<u64>, Unavailable> {
        let page = self.read(inbox.user, inbox.device, 0, 1, 1).await?;
        Ok(page.messages.first().map(|message| message.seq))
    }
}

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        Self::new(failure)
    }
}
