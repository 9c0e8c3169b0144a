//! An upload is reserved.

use std::sync::Arc;

use schemas::{
    ErrorCode, MediaId, Millis, UserId,
    http::{NewMedia, Reservation, UploadMethod, UploadRequest},
    limits::{MEDIA_NAME_BYTES, MEDIA_TYPE_BYTES, UPLOAD_LIFE},
};
use store::{
    Media,
    objects::{Object, Part},
};

use super::essence;
use crate::{
    app::App,
    session::{Identity, Refusal},
};

impl App {
    /// Reserves an upload for this device's user, who finds the gateways at `base`.
    ///
    /// # Errors
    /// The [`Refusal`] for the caller.
    pub(crate) async fn reserve_media(
        self: &Arc<Self>,
        by: Identity,
        new: NewMedia,
        base: &str,
    ) -> Result<Reservation, Refusal> {
        let new = self.check_upload(by.user, new)?;
        let media = self.directory.create_media(new).await?;
        let reserved = async {
            self.check_quota(&media).await?;
            self.reservation(&media, base).await
        };
        let reserved = reserved.await;
        match &reserved {
            Ok(_) => {
                // Its bytes come from there.
                self.note_fetch(media.id, by.device);
                metrics::counter!("petrel_uploads_reserved_total").increment(1);
            }
            // Nobody will upload to it, so it must not count for the quota.
            Err(_) => self.take_back(media.id).await,
        }
        reserved
    }

    async fn take_back(&self, id: MediaId) {
        if let Err(error) = self.directory.delete_media(id).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(media = %id, error, "reservation not taken back: it is swept");
        }
    }

    fn check_upload(&self, owner: UserId, new: NewMedia) -> Result<store::NewMedia, Refusal> {
        let invalid = |why: &str| Err(Refusal::new(ErrorCode::Invalid, why));
        let NewMedia { name, mime, size, sha256 } = new;
        let is_name = (1..=MEDIA_NAME_BYTES).contains(&name.len());
        if !is_name || name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\')) {
            return invalid("a name has 1 to 255 bytes, without control characters, / and \\");
        }
        let Some(mime) = essence(&mime).filter(|mime| mime.len() <= MEDIA_TYPE_BYTES) else {
            return invalid("mime is a media type, such as image/png");
        };
        if !self.config.media.media_types.allow(&mime) {
            return invalid("uploads of that type are not taken here");
        }
        let most = self.config.media.media_max_bytes;
        match size {
            0 => invalid("an upload has at least 1 byte"),
            size if size > most => {
                let why = format!("an upload has at most {most} bytes");
                Err(Refusal::new(ErrorCode::TooLarge, why))
            }
            size => Ok(store::NewMedia { owner, name, mime, size, sha256 }),
        }
    }

    /// Whether there is room for these media, which count already: of those who
    /// race for the last of it none gets what is not there.
    async fn check_quota(&self, media: &Media) -> Result<(), Refusal> {
        let usage = self.directory.media_usage(media.owner).await?;
        let options = &self.config.media;
        let (bytes, count) = (options.media_quota_bytes, options.media_quota_count);
        let why = if usage.bytes > bytes {
            format!("your uploads would come to more than {bytes} bytes")
        } else if usage.count > count {
            format!("you would have more than {count} uploads")
        } else {
            return Ok(());
        };
        metrics::counter!("petrel_uploads_over_quota_total").increment(1);
        Err(Refusal::new(ErrorCode::TooLarge, why + ": wait until some of them are gone"))
    }

    async fn reservation(&self, media: &Media, base: &str) -> Result<Reservation, Refusal> {
        let (id, expires) = (media.id, upload_ends(media));
        let token = self.tokens.upload(id, media.owner, expires).map_err(|error| {
            tracing::error!(%error, "address of an upload not signed");
            Refusal::new(ErrorCode::Unavailable, "the address could not be made")
        })?;
        let resumable = format!("{base}/v1/media/{id}/upload?token={token}");
        let object = Object { media: id, part: Part::Upload };
        let signed =
            self.objects.sign_upload(object, &media.mime, media.size, expires.since(Millis::now()));
        let (url, headers) = match signed {
            Some(signed) => {
                // Nobody tells when it is there: the worker has to look.
                self.announce(id).await?;
                (signed.url, signed.headers)
            }
            None => {
                let (mime, size) = (media.mime.clone(), media.size.to_string());
                (resumable.clone(), vec![("content-type", mime), ("content-length", size)])
            }
        };
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let upload = UploadRequest { method: UploadMethod::Put, url, headers };
        Ok(Reservation { id, upload, resumable, expires })
    }
}

/// When an upload that is not finished is forgotten.
pub(super) fn upload_ends(media: &Media) -> Millis {
    media.created.plus(UPLOAD_LIFE)
}
