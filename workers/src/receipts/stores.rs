//! What the receipts worker asks of NATS, as traits: its tests stand in for
//! the stores, with failures and other workers between any two steps.

use std::future::Future;

use bytes::Bytes;
use nats::{Inboxes as NatsInboxes, ReceiptsKv, receipts::Revised};

use super::fold::InboxKey;
pub(crate) use crate::unavailable::{Unavailable, Unwritten};

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
        Ok(ReceiptsKv::put(self, key, value, revision).await?)
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
