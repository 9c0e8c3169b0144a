//! What happened to a group, told in its members' inboxes.

use std::time::Duration;

use nats::inbox::StoreError;
use schemas::{
    Body, ChatId, GroupId, MessageId, Micros, RawBody, UserId, body::Event, stored::StoredMessage,
};

use super::fan_out::{Address, Parcel};
use crate::{app::App, session::Refusal};

/// How long inboxes that could not be reached are left alone before the next try.
const RETRY: Duration = Duration::from_millis(500);

/// An event as it lies in the inboxes of all who are told.
pub(super) struct Letter {
    group: GroupId,
    parcel: Parcel,
}

impl Letter {
    /// A letter that says now that `from` did this.
    pub(super) fn new(group: GroupId, from: UserId, event: Event) -> Self {
        let id = format!("e_{}", ulid::Ulid::generate()).to_lowercase();
        // Begins like no message's, so that no sender can be there before it.
        let dedupe_id = format!("{group}.{id}");
        #[allow(clippy::expect_used, reason = "28 characters that an id may have")]
        let id: MessageId = id.parse().expect("a ULID is a message id");
        let message = StoredMessage {
            id,
            chat: ChatId::Group(group),
            from,
            ts: Micros::now(),
            after: None,
            body: RawBody::from(&Body::Event(event)),
        };
        Self { group, parcel: Parcel { dedupe_id, stored: message.to_json().into() } }
    }
}

impl App {
    /// Stores a letter in the inbox of every device of these users. Where there
    /// is no room it is not told; where nobody answers it is tried until
    /// somebody does, which the caller bounds.
    pub(super) async fn tell(&self, letter: &Letter, audience: Vec<UserId>) {
        let Letter { group, parcel } = letter;
        let mut untold = audience;
        loop {
            untold = self.try_to_tell(parcel, untold).await;
            if untold.is_empty() {
                return;
            }
            tracing::warn!(%group, members = untold.len(), "not told yet, trying again");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Who was not reached.
    async fn try_to_tell(&self, parcel: &Parcel, audience: Vec<UserId>) -> Vec<UserId> {
        let inboxes = audience.into_iter().map(async |user| (user, self.inboxes_of(user).await));
        let mut untold = Vec::new();
        let mut addresses = Vec::new();
        for (user, inboxes) in futures_util::future::join_all(inboxes).await {
            match inboxes {
                Ok(inboxes) => addresses.extend(inboxes),
                Err(_) => untold.push(user),
            }
        }
        let results = parcel.store(&self.inboxes, &addresses).await;
        for (Address { user, device }, result) in addresses.into_iter().zip(results) {
            match result {
                Ok(_) => {}
                Err(StoreError::Full) => tracing::debug!(%user, %device, "no room for an event"),
                Err(StoreError::Unavailable(_)) => untold.push(user),
                Err(error @ StoreError::Refused(_)) => {
                    tracing::error!(%user, %device, %error, "an event was refused");
                }
            }
        }
        untold.sort_unstable();
        untold.dedup();
        untold
    }

    async fn inboxes_of(&self, user: UserId) -> Result<Vec<Address>, Refusal> {
        let Some(entry) = self.roster.get(user).await? else { return Ok(Vec::new()) };
        let devices = entry.devices.iter();
        Ok(devices.map(|(device, _)| Address { user, device: *device }).collect())
    }
}
