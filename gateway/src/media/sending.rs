//! Media that are sent: who sends them may read them, and who gets the message
//! may read them before it is in any inbox.

use std::time::Duration;

use moka::future::Cache;
use schemas::{ErrorCode, GroupId, MediaId, UserId};
use store::{Audience, Media, MediaState, SHARE_LIFE};

use super::no_such_media;
use crate::{app::App, session::Refusal};

/// Most media whose verdict is remembered.
const VERDICTS: u64 = 20_000;
/// For how long: what was deleted meanwhile may be sent until then.
const VERDICT_LIFE: Duration = Duration::from_secs(60);
/// Most shares that are remembered, each for [`SHARE_LIFE`].
const SHARES: u64 = 100_000;

/// What need not be asked or written again when the same media are sent to many.
pub(crate) struct Sharing {
    /// Records that do not change any more.
    verdicts: Cache<MediaId, Media>,
    shares: Cache<(MediaId, Audience), ()>,
    /// In which group they are who read media that were sent there.
    pub(super) through: Cache<(UserId, MediaId), GroupId>,
}

impl Sharing {
    /// Nothing is remembered yet.
    pub(crate) fn new() -> Self {
        Self {
            verdicts: Cache::builder().max_capacity(VERDICTS).time_to_live(VERDICT_LIFE).build(),
            shares: Cache::builder().max_capacity(SHARES).time_to_live(SHARE_LIFE).build(),
            through: Cache::builder().max_capacity(SHARES).time_to_live(SHARE_LIFE).build(),
        }
    }
}

impl App {
    /// Lets those read media to whom `sender` sends them: nobody, where the
    /// message is stored for nobody. Who may read them now and sends them on
    /// can read them for as long as the others in the chat can.
    ///
    /// # Errors
    /// `not_found` where the sender may not read them, `invalid` where they were
    /// rejected and these people were not sent them before, `unavailable`.
    pub(crate) async fn pass_on(
        &self,
        sender: UserId,
        id: MediaId,
        to: Option<Audience>,
    ) -> Result<(), Refusal> {
        let media = self.to_be_sent(id).await?;
        let own = Audience::User(sender);
        let is_known = media.owner == sender || self.sharing.shares.contains_key(&(id, own));
        if !is_known && !self.may_read(sender, &media).await? {
            return Err(no_such_media());
        }
        if let Err(rejected) = check_verdict(&media) {
            // It may be stored already: who sends it again, since they did not
            // hear so, must not be told that it is not.
            let before = [to.unwrap_or(own)];
            let was_sent = self.directory.is_media_shared(id, &before).await?;
            return if was_sent { Ok(()) } else { Err(rejected) };
        }
        let to = to.filter(|to| *to != own);
        // Their owner may read them anyway; but what was shared with nobody
        // counts as never sent, and is swept.
        let own = Some(own).filter(|_| media.owner != sender || to.is_none());
        for audience in to.into_iter().chain(own) {
            self.share(id, audience).await?;
        }
        Ok(())
    }

    /// Lets everybody see media that become the picture of `wearer`, by `user`'s
    /// doing. The wearer is noted, too: by that the sweep finds whose picture
    /// media may be.
    ///
    /// # Errors
    /// `not_found` where the user may not read them, `invalid` where they are no
    /// image or were rejected, `unavailable`.
    pub(crate) async fn show(
        &self,
        user: UserId,
        id: MediaId,
        wearer: Audience,
    ) -> Result<(), Refusal> {
        let media = self.readable(user, id).await?;
        check_verdict(&media)?;
        let mime = match &media.state {
            MediaState::Ready(served) => &served.mime,
            _ => &media.mime,
        };
        if !mime.starts_with("image/") {
            return Err(Refusal::new(ErrorCode::Invalid, "a picture is an image"));
        }
        self.share(id, wearer).await?;
        self.share(id, Audience::Everyone).await
    }

    async fn to_be_sent(&self, id: MediaId) -> Result<Media, Refusal> {
        if let Some(media) = self.sharing.verdicts.get(&id).await {
            return Ok(media);
        }
        let media = self.directory.media(id).await?.ok_or_else(no_such_media)?;
        if matches!(media.state, MediaState::Ready(_) | MediaState::Rejected { .. }) {
            self.sharing.verdicts.insert(id, media.clone()).await;
        }
        Ok(media)
    }

    async fn share(&self, id: MediaId, with: Audience) -> Result<(), Refusal> {
        if self.sharing.shares.contains_key(&(id, with)) {
            return Ok(());
        }
        self.directory.share_media(id, with).await?;
        self.sharing.shares.insert((id, with), ()).await;
        Ok(())
    }
}

fn check_verdict(media: &Media) -> Result<(), Refusal> {
    match &media.state {
        MediaState::Rejected { reason } => {
            let why = format!("the media were rejected: {reason}");
            Err(Refusal::new(ErrorCode::Invalid, why))
        }
        _ => Ok(()),
    }
}
