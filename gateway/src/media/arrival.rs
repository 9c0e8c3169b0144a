//! All bytes of an upload are there: it is noted, and the media worker told.

use std::sync::Arc;

use schemas::{ErrorCode, MediaId};
use store::{
    Media, MediaChange, MediaError, MediaRefusal, MediaState,
    objects::{Object, Part, Received},
};

use crate::{app::App, session::Refusal};

impl App {
    /// Tells the media worker to look at an upload.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn announce(&self, id: MediaId) -> Result<(), Refusal> {
        self.media.announce(id).await.map_err(|error| {
            tracing::warn!(media = %id, %error, "upload not announced");
            Refusal::new(ErrorCode::Unavailable, "the upload could not be passed on: try again")
        })
    }

    /// Tells it of an upload that has arrived and was not looked at yet: the
    /// first time may have been cut off before that. Whoever asks for it often
    /// does not have it told as often.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn announce_again(&self, media: &Media) -> Result<(), Refusal> {
        if !matches!(media.state, MediaState::Uploaded(_)) {
            return Ok(());
        }
        if self.intake.again.contains_key(&media.id) {
            return Ok(());
        }
        self.announce(media.id).await?;
        self.intake.again.insert(media.id, ()).await;
        Ok(())
    }

    /// Notes that all bytes of an upload are there, and has them looked at.
    ///
    /// # Errors
    /// The [`Refusal`] for the caller; the same again does what is left to do.
    async fn arrived(&self, id: MediaId) -> Result<(), Refusal> {
        match self.directory.change_media(id, &MediaChange::Arrive).await {
            Ok(_) => metrics::counter!("petrel_uploads_arrived_total").increment(1),
            Err(MediaError::Refused(MediaRefusal::Uploaded)) => {}
            Err(error) => return Err(error.into()),
        }
        self.announce(id).await
    }

    /// To its end, although the sender may not wait for it.
    ///
    /// # Errors
    /// The [`Refusal`] for the caller; with `not_found` nothing is left of what
    /// has come.
    pub(super) async fn see_through_arrival(
        self: &Arc<Self>,
        id: MediaId,
        received: Received,
    ) -> Result<(), Refusal> {
        let app = Arc::clone(self);
        let arrival = self.tasks.spawn(async move {
            let arrived = app.arrived(id).await;
            match &arrived {
                // It took so long that the record was swept meanwhile.
                Err(refusal) if refusal.code == ErrorCode::NotFound => {
                    app.objects.delete(Object { media: id, part: Part::Upload }).await?;
                }
                Err(_) => return arrived,
                Ok(()) => {}
            }
            received.release().await?;
            arrived
        });
        arrival.await.unwrap_or_else(|error| {
            tracing::error!(media = %id, %error, "an upload's arrival did not end");
            Err(Refusal::new(ErrorCode::Unavailable, "the upload could not be noted"))
        })
    }
}
