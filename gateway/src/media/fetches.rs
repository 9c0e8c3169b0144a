//! Which devices have media: noted where media go once everyone has them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use schemas::{DeviceId, MediaId};
use store::{Audience, DirectoryError, objects::ObjectError};
use tracing::warn;

use crate::app::App;

impl App {
    /// Bytes on their way to a device: once it has taken so many of them, it has
    /// the media.
    pub(crate) fn noting_fetch<S>(
        self: &Arc<Self>,
        id: MediaId,
        by: DeviceId,
        bytes: S,
        mut length: u64,
    ) -> impl Stream<Item = Result<Bytes, ObjectError>> + use<S>
    where
        S: Stream<Item = Result<Bytes, ObjectError>>,
    {
        let mut app = self.notes_fetches().then(|| Arc::clone(self));
        bytes.inspect_ok(move |bytes| {
            length = length.saturating_sub(bytes.len() as u64);
            if length == 0
                && let Some(app) = app.take()
            {
                app.note_fetch(id, by);
            }
        })
    }

    /// Notes that a device has media, soon. What is not noted stays for all of
    /// its days, so a failure is not its reader's.
    pub(crate) fn note_fetch(self: &Arc<Self>, id: MediaId, by: DeviceId) {
        if !self.notes_fetches() {
            return;
        }
        let app = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = app.store_fetch(id, by).await {
                let error = &error as &dyn std::error::Error;
                warn!(media = %id, device = %by, error, "not noted who has media: they stay longer");
            }
        });
    }

    fn notes_fetches(&self) -> bool {
        self.config.media.retention.fetched().is_some()
    }

    async fn store_fetch(&self, id: MediaId, by: DeviceId) -> Result<(), DirectoryError> {
        // What is or was a picture does not go by who has it.
        if self.directory.is_media_shared(id, &[Audience::Everyone]).await? {
            return Ok(());
        }
        self.directory.note_fetch(id, by).await
    }
}
