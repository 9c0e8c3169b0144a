//! The bytes of an upload come in, where this gateway takes them.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use schemas::{ErrorCode, MediaId};
use store::{
    Media, MediaChange, MediaError, MediaRefusal, MediaState,
    objects::{Begin, ReceiveError, Received, Receiving},
};
use tokio::time::timeout;

use super::no_such_media;
use crate::{app::App, http::extract::linger, session::Refusal};

/// How long nothing may come: then the sender is taken for gone, and another
/// one may go on.
const SILENCE: Duration = Duration::from_secs(20);

/// Some bytes of an upload, on their way in.
pub(crate) struct Piece {
    /// Of which.
    pub media: Media,
    /// Where they begin.
    pub begin: Begin,
    /// They.
    pub body: Body,
}

/// How far a piece came.
enum Taken {
    /// Everything is there.
    All(Received),
    /// So much is there, for the piece was shorter.
    Some(u64),
    /// It was sent before.
    Before,
}

impl App {
    /// An upload that may be sent to, or was.
    ///
    /// # Errors
    /// The [`Refusal`] for who wants to send.
    pub(crate) async fn upload(&self, id: MediaId) -> Result<Media, Refusal> {
        self.directory.media_fresh(id).await?.ok_or_else(no_such_media)
    }

    /// Takes bytes of an upload; where it goes on then. What came before it was
    /// cut off stays.
    ///
    /// # Errors
    /// The [`Refusal`] for the sender.
    pub(crate) async fn take(self: &Arc<Self>, piece: Piece) -> Result<u64, Refusal> {
        let Piece { media, begin, body } = piece;
        let size = media.size;
        let mut bytes = body.into_data_stream();
        let taken = self.take_some(&media, begin, &mut bytes).await;
        if taken.is_err() {
            linger(&mut bytes).await;
        }
        match taken? {
            Taken::Before => self.announce_again(&media).await?,
            Taken::Some(offset) => return Ok(offset),
            Taken::All(received) => self.see_through_arrival(media.id, received).await?,
        }
        Ok(size)
    }

    /// Where an upload goes on. One whose end was interrupted is brought to it.
    ///
    /// # Errors
    /// The [`Refusal`] for who asks.
    pub(crate) async fn offset(self: &Arc<Self>, media: &Media) -> Result<u64, Refusal> {
        if media.state != MediaState::Reserved {
            return Ok(media.size);
        }
        let offset = self.objects.come_in(media.id).await?;
        if offset < media.size {
            return Ok(offset);
        }
        match self.objects.receive(media.id, media.size, Begin::At(offset)).await {
            Ok(receiving) => {
                let received = receiving.complete().await?;
                self.see_through_arrival(media.id, received).await?;
                Ok(offset)
            }
            // Who sent the last byte is about to do it.
            Err(ReceiveError::Busy) => Ok(offset),
            Err(ReceiveError::Elsewhere(offset)) => Ok(offset),
            Err(error) => Err(error.into()),
        }
    }

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

    /// Notes that all bytes of an upload are there, and has them looked at.
    ///
    /// # Errors
    /// The [`Refusal`] for the caller; the same again does what is left to do.
    pub(super) async fn arrived(&self, id: MediaId) -> Result<(), Refusal> {
        match self.directory.change_media(id, &MediaChange::Arrive).await {
            Ok(_) => metrics::counter!("petrel_uploads_arrived_total").increment(1),
            Err(MediaError::Refused(MediaRefusal::Uploaded)) => {}
            Err(error) => return Err(error.into()),
        }
        self.announce(id).await
    }

    async fn take_some(
        &self,
        media: &Media,
        begin: Begin,
        bytes: &mut BodyDataStream,
    ) -> Result<Taken, Refusal> {
        if media.state != MediaState::Reserved {
            return before(media, begin, bytes).await;
        }
        let mut receiving = self.objects.receive(media.id, media.size, begin).await?;
        // Nobody else can finish it from here on, but somebody may have before.
        let media = self.upload(media.id).await?;
        if media.state != MediaState::Reserved {
            receiving.abandon().await?;
            return before(&media, begin, bytes).await;
        }
        if receiving.is_complete() {
            // It was interrupted at its end.
            before(&media, begin, bytes).await?;
            return Ok(Taken::All(receiving.complete().await?));
        }
        match self.fill(&mut receiving, bytes).await {
            Ok(()) if receiving.is_complete() => Ok(Taken::All(receiving.complete().await?)),
            Ok(()) => Ok(Taken::Some(receiving.pause().await?)),
            Err(refusal) if refusal.code == ErrorCode::TooLarge => {
                receiving.abandon().await?;
                Err(refusal)
            }
            Err(refusal) => {
                receiving.pause().await?;
                Err(refusal)
            }
        }
    }

    /// Writes all that comes.
    async fn fill(
        &self,
        receiving: &mut Receiving,
        bytes: &mut BodyDataStream,
    ) -> Result<(), Refusal> {
        let leaving = || Refusal::new(ErrorCode::Unavailable, "this gateway is going away");
        loop {
            let next = self.closing.run_until_cancelled(next(bytes)).await;
            match next.ok_or_else(leaving)?? {
                Some(bytes) => receiving.write(bytes).await?,
                None => return Ok(()),
            }
        }
    }

    /// To its end, although the sender may not wait for it.
    async fn see_through_arrival(
        self: &Arc<Self>,
        id: MediaId,
        received: Received,
    ) -> Result<(), Refusal> {
        let app = Arc::clone(self);
        let arrival = self.tasks.spawn(async move {
            app.arrived(id).await?;
            received.release().await?;
            Ok(())
        });
        arrival.await.unwrap_or_else(|error| {
            tracing::error!(media = %id, %error, "an upload's arrival did not end");
            Err(Refusal::new(ErrorCode::Unavailable, "the upload could not be noted"))
        })
    }

    /// The first time may have been cut off before that.
    async fn announce_again(&self, media: &Media) -> Result<(), Refusal> {
        match self.upload(media.id).await?.state {
            MediaState::Uploaded(_) => self.announce(media.id).await,
            _ => Ok(()),
        }
    }
}

/// The next bytes; nothing at the end.
async fn next(bytes: &mut BodyDataStream) -> Result<Option<Bytes>, Refusal> {
    let cut = |why: String| Refusal::new(ErrorCode::BadFrame, why);
    match timeout(SILENCE, bytes.next()).await {
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => Err(cut(error.to_string())),
        Ok(None) => Ok(None),
        Err(_) => Err(cut("the body stopped coming".to_owned())),
    }
}

/// Of what was uploaded before, nothing is taken again; but who sends it is
/// heard to the end, since many read no answer before that.
async fn before(media: &Media, begin: Begin, bytes: &mut BodyDataStream) -> Result<Taken, Refusal> {
    if let Begin::At(offset) = begin
        && offset != media.size
    {
        return Err(ReceiveError::Elsewhere(media.size).into());
    }
    let mut dropped = 0;
    while let Some(bytes) = next(bytes).await? {
        dropped += bytes.len() as u64;
        if dropped > media.size {
            return Err(ReceiveError::TooLong.into());
        }
    }
    Ok(Taken::Before)
}

impl From<ReceiveError> for Refusal {
    fn from(error: ReceiveError) -> Self {
        let code = match error {
            ReceiveError::Busy | ReceiveError::Elsewhere(_) => ErrorCode::Conflict,
            ReceiveError::TooLong => ErrorCode::TooLarge,
            ReceiveError::Object(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}
