//! Who may read media: their owner, who was sent them, whoever is in a group
//! that was, and everybody if they are a picture of somebody's or of a group.

use schemas::{ErrorCode, GroupId, MediaId, UserId};
use store::{Audience, Media};

use super::no_such_media;
use crate::{app::App, session::Refusal};

impl App {
    /// Media that this user may read; it may be a moment old.
    ///
    /// # Errors
    /// `not_found` also where it is there and not for this user; `unavailable`.
    pub(crate) async fn readable(&self, user: UserId, id: MediaId) -> Result<Media, Refusal> {
        let media = self.directory.media(id).await?.ok_or_else(no_such_media)?;
        if self.may_read(user, &media).await? { Ok(media) } else { Err(no_such_media()) }
    }

    /// Whether this user may.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn may_read(&self, user: UserId, media: &Media) -> Result<bool, Refusal> {
        if media.owner == user {
            return Ok(true);
        }
        // Asking the directory for groups is dear, and a film is read in many
        // parts. Whether they are in the group is asked each time.
        let through = &self.sharing.through;
        if let Some(group) = through.get(&(user, media.id)).await
            && self.is_in_group(user, group).await?
        {
            return Ok(true);
        }
        let directly = [Audience::User(user), Audience::Everyone];
        if self.directory.is_media_shared(media.id, &directly).await? {
            return Ok(true);
        }
        for group in self.directory.groups_shared_with(media.id, user).await? {
            if self.is_in_group(user, group).await? {
                through.insert((user, media.id), group).await;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_in_group(&self, user: UserId, group: GroupId) -> Result<bool, Refusal> {
        match self.is_member(user, group).await {
            Err(refusal) if refusal.code == ErrorCode::NotFound => Ok(false),
            answer => answer,
        }
    }
}
