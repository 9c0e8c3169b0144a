//! What is told of an upload.

use std::sync::Arc;

use schemas::{
    MediaId, UserId,
    http::{MediaInfo, MediaState as Shown},
};
use store::{Media, MediaState};

use super::{no_such_media, reserve::upload_ends};
use crate::{app::App, session::Refusal};

impl App {
    /// What has become of an upload, as of now, for somebody who may read it.
    ///
    /// # Errors
    /// `not_found`, `unavailable`.
    pub(crate) async fn newest(
        self: &Arc<Self>,
        user: UserId,
        id: MediaId,
    ) -> Result<Media, Refusal> {
        let media = self.readable(user, id).await?;
        if matches!(media.state, MediaState::Ready(_) | MediaState::Rejected { .. }) {
            return Ok(media);
        }
        let media = self.directory.media_fresh(id).await?.ok_or_else(no_such_media)?;
        // Who uploads to the store itself tells nobody: whoever asks is quicker
        // than the worker, which looks now and then.
        self.offset(&media).await?;
        Ok(media)
    }

    /// How those see it who may read it.
    pub(crate) fn shown(&self, media: Media) -> MediaInfo {
        let expires = match media.state {
            MediaState::Reserved => upload_ends(&media),
            _ => self.config.media.retention.ends(&media),
        };
        let mut info = MediaInfo {
            id: media.id,
            state: Shown::Pending,
            reason: None,
            name: media.name,
            mime: media.mime,
            size: media.size,
            width: None,
            height: None,
            thumbnail: false,
            created: media.created,
            expires,
        };
        match media.state {
            MediaState::Reserved | MediaState::Uploaded(_) => {}
            MediaState::Ready(served) => {
                info.state = Shown::Ready;
                (info.mime, info.size) = (served.mime, served.size);
                (info.width, info.height) = (served.width, served.height);
                info.thumbnail = served.thumbnail.is_some();
            }
            MediaState::Rejected { reason } => {
                info.state = Shown::Rejected;
                info.reason = Some(reason);
            }
        }
        info
    }
}
