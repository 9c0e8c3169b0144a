//! The same bytes into many inboxes at once (DESIGN 7).

use bytes::Bytes;
use futures_util::future::join_all;
use nats::{
    Inboxes,
    inbox::{StoreError, Stored},
};
use schemas::{DeviceId, UserId};

/// What is to be stored, once for all who get it.
pub(super) struct Parcel {
    /// Together with the device, what tells a repetition.
    pub(super) dedupe_id: String,
    /// JSON of a [`schemas::stored::StoredMessage`].
    pub(super) stored: Bytes,
}

/// An inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    /// Whose.
    pub(super) user: UserId,
    /// On which device.
    pub(super) device: DeviceId,
}

impl Parcel {
    /// Stores it in all of these; the results in their order. Each is tried
    /// for up to [`nats::inbox::STORE_DEADLINE`].
    pub(super) async fn store(
        &self,
        inboxes: &Inboxes,
        addresses: &[Address],
    ) -> Vec<Result<Stored, StoreError>> {
        let stores = addresses.iter().map(|Address { user, device }| {
            let dedupe_id = format!("{}.{device}", self.dedupe_id);
            let stored = self.stored.clone();
            async move { inboxes.store(*user, *device, &dedupe_id, stored).await }
        });
        metrics::counter!("petrel_group_stores_total").increment(addresses.len() as u64);
        join_all(stores).await
    }
}
