//! What became of an upload, told to the devices of whoever it belongs to.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use nats::{Inboxes, inbox::StoreError};
use schemas::{Body, ChatId, MessageId, Micros, RawBody, body::Event, stored::StoredMessage};
use store::{Directory, Media, MediaState};
use tracing::{debug, error};

use crate::unavailable::Unavailable;

pub(super) struct Teller {
    directory: Arc<dyn Directory>,
    inboxes: Inboxes,
}

impl Teller {
    pub(super) fn new(directory: Arc<dyn Directory>, inboxes: Inboxes) -> Self {
        Self { directory, inboxes }
    }

    /// Tells what became of an upload in its owner's note to self, if that is
    /// known by now. A device without room is not told. Told again, the message
    /// is the same one, and is stored once if that is soon.
    ///
    /// # Errors
    /// When somebody does not answer; some devices may have been told.
    pub(super) async fn tell(&self, media: &Media) -> Result<(), Unavailable> {
        let Some(event) = event(media) else { return Ok(()) };
        let owner = media.owner;
        let user = self.directory.user_fresh(owner).await.map_err(Unavailable::new)?;
        let Some(user) = user else { return Ok(()) };
        let id = media.id.to_string();
        let stored = Bytes::from(message(media, &id, event)?.to_json());
        let told = user.devices.iter().map(async |device| {
            let dedupe_id = format!("{owner}.{id}.{}", device.id);
            match self.inboxes.store(owner, device.id, &dedupe_id, stored.clone()).await {
                Ok(_) => Ok(()),
                Err(StoreError::Full) => {
                    debug!(user = %owner, device = %device.id, "no room for an event");
                    Ok(())
                }
                Err(error @ StoreError::Refused(_)) => {
                    error!(user = %owner, device = %device.id, %error, "an event was refused");
                    Ok(())
                }
                Err(error @ StoreError::Unavailable(_)) => Err(Unavailable::new(error)),
            }
        });
        join_all(told).await.into_iter().collect()
    }
}

fn message(media: &Media, id: &str, event: Event) -> Result<StoredMessage, Unavailable> {
    // A media id has characters and a length that an id may have.
    let id: MessageId = id.parse().map_err(Unavailable::new)?;
    Ok(StoredMessage {
        id,
        chat: ChatId::User(media.owner),
        from: media.owner,
        ts: Micros::now(),
        after: None,
        body: RawBody::from(&Body::Event(event)),
    })
}

fn event(media: &Media) -> Option<Event> {
    match &media.state {
        MediaState::Reserved | MediaState::Uploaded(_) => None,
        MediaState::Ready(served) => Some(Event::MediaReady {
            media: media.id,
            mime: served.mime.clone(),
            size: served.size,
            width: served.width,
            height: served.height,
            thumbnail: served.thumbnail.is_some(),
        }),
        MediaState::Rejected { reason } => {
            Some(Event::MediaRejected { media: media.id, reason: reason.clone() })
        }
    }
}
