//! The bytes of an upload come in, where this gateway takes them.

use std::sync::Arc;

use axum::body::Body;
use schemas::{ErrorCode, MediaId};
use store::{
    Media, MediaState,
    objects::{Begin, LEAST_PIECE, ReceiveError, Received, Receiving},
};

use super::{coming::Coming, no_such_media};
use crate::{app::App, session::Refusal};

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
        let mut bytes = Coming::new(body);
        let slot = self.intake.slot(media.owner);
        let taken = match &slot {
            Ok(_) => self.take_some(&media, begin, &mut bytes).await,
            Err(refusal) => Err(refusal.clone()),
        };
        if taken.is_err() {
            drop(slot);
            bytes.linger().await;
        }
        match taken? {
            Taken::Before => {
                let media = self.upload(media.id).await?;
                self.announce_again(&media).await?;
            }
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
            self.announce_again(media).await?;
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

    async fn take_some(
        &self,
        media: &Media,
        begin: Begin,
        bytes: &mut Coming,
    ) -> Result<Taken, Refusal> {
        if media.state != MediaState::Reserved {
            return before(media, begin, bytes).await;
        }
        let mut receiving = self.objects.receive(media.id, media.size, begin).await?;
        // Nobody else can finish it from here on, but somebody may have before.
        let Some(media) = self.directory.media_fresh(media.id).await? else {
            // What is sent to a record that is gone would be nobody's.
            receiving.abandon().await?;
            return Err(no_such_media());
        };
        if media.state != MediaState::Reserved {
            receiving.abandon().await?;
            return before(&media, begin, bytes).await;
        }
        if receiving.is_complete() {
            // It was interrupted at its end.
            before(&media, begin, bytes).await?;
            return Ok(Taken::All(receiving.complete().await?));
        }
        let began = receiving.offset();
        match self.fill(&mut receiving, bytes).await {
            Ok(()) if receiving.is_complete() => Ok(Taken::All(receiving.complete().await?)),
            Ok(()) => pause(receiving, began).await,
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
    async fn fill(&self, receiving: &mut Receiving, bytes: &mut Coming) -> Result<(), Refusal> {
        let leaving = || Refusal::new(ErrorCode::Unavailable, "this gateway is going away");
        loop {
            let next = self.closing.run_until_cancelled(bytes.next()).await;
            match next.ok_or_else(leaving)?? {
                Some(bytes) => receiving.write(bytes).await?,
                None => return Ok(()),
            }
        }
    }
}

/// Leaves a piece that came whole, unless nothing of it can be left: who sends
/// such pieces would do so for ever.
async fn pause(receiving: Receiving, began: u64) -> Result<Taken, Refusal> {
    let came = receiving.offset() - began;
    let kept = receiving.pause().await?;
    if kept > began || came == 0 {
        return Ok(Taken::Some(kept));
    }
    let why = format!("a piece has at least {LEAST_PIECE} bytes here, unless it is the last");
    Err(Refusal::new(ErrorCode::Invalid, why))
}

/// Of what was uploaded before, nothing is taken again; but who sends it is
/// heard to the end, since many read no answer before that.
async fn before(media: &Media, begin: Begin, bytes: &mut Coming) -> Result<Taken, Refusal> {
    if let Begin::At(offset) = begin
        && offset != media.size
    {
        return Err(ReceiveError::Elsewhere(media.size).into());
    }
    while bytes.next().await?.is_some() {
        if bytes.count() > media.size {
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
