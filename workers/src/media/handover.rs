//! Whether media have reached everyone they were sent to.
//!
//! They have when every device that may have got a message with them has
//! acknowledged all messages of that time and has fetched them, and when neither
//! was a moment ago: then whoever was cut off can still go on, and an address
//! that the store has signed has ended. Whatever is not known counts as not yet.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nats::Inboxes;
use schemas::{DeviceId, Millis, UserId};
use store::{Audience, Directory, Media, MediaState, SHARE_LIFE, Shares};

use crate::unavailable::Unavailable;

/// How far the clocks of a deployment may be apart.
const CLOCKS: Duration = Duration::from_secs(60);
/// Users, and inboxes, of one audience that are looked at together.
const AT_ONCE: usize = 8;

pub(super) struct Handover {
    directory: Arc<dyn Directory>,
    inboxes: Inboxes,
    after: Duration,
}

impl Handover {
    /// What is over when nothing has happened for that long.
    pub(super) fn new(directory: Arc<dyn Directory>, inboxes: Inboxes, after: Duration) -> Self {
        Self { directory, inboxes, after }
    }

    /// Whether everyone has them.
    ///
    /// # Errors
    /// When somebody does not answer.
    pub(super) async fn is_over(&self, media: &Media, now: Millis) -> Result<bool, Unavailable> {
        if !matches!(media.state, MediaState::Ready(_)) {
            return Ok(false);
        }
        let shares = self.directory.media_shares(media.id).await.map_err(Unavailable::new)?;
        let Shares { with, last: Some(shared) } = shares else { return Ok(false) };
        // Nobody is asked whether they have somebody's picture.
        if self.is_recent(shared, now) || with.contains(&Audience::Everyone) {
            return Ok(false);
        }
        let fetches = self.directory.media_fetches(media.id).await.map_err(Unavailable::new)?;
        if fetches.last.is_some_and(|fetched| self.is_recent(fetched, now)) {
            return Ok(false);
        }
        // A message with them may be as young as that.
        let sent = shared.plus(SHARE_LIFE + CLOCKS);
        let have = fetches.by.into_iter().collect();
        let Some(devices) = self.devices(media.owner, &with, sent, &have).await? else {
            return Ok(false);
        };
        stream::iter(devices)
            .map(|(user, device)| self.has_acked(user, device, sent))
            .buffer_unordered(AT_ONCE)
            .try_all(|acked| async move { acked })
            .await
    }

    fn is_recent(&self, happened: Millis, now: Millis) -> bool {
        now.minus(self.after) <= happened
    }

    /// The devices that may have been sent something by then, the sender's among
    /// them; nothing if one of them does not `have` it.
    async fn devices(
        &self,
        owner: UserId,
        audiences: &[Audience],
        by_then: Millis,
        have: &BTreeSet<DeviceId>,
    ) -> Result<Option<Vec<(UserId, DeviceId)>>, Unavailable> {
        let users = self.users(owner, audiences, by_then).await?;
        let mut records = stream::iter(users)
            .map(|user| self.directory.user_fresh(user))
            .buffer_unordered(AT_ONCE);
        let mut devices = Vec::new();
        while let Some(user) = records.try_next().await.map_err(Unavailable::new)? {
            let Some(user) = user else { continue };
            for device in user.devices.iter().filter(|device| device.linked <= by_then) {
                if !have.contains(&device.id) {
                    return Ok(None);
                }
                devices.push((user.id, device.id));
            }
        }
        Ok(Some(devices))
    }

    async fn users(
        &self,
        owner: UserId,
        audiences: &[Audience],
        by_then: Millis,
    ) -> Result<BTreeSet<UserId>, Unavailable> {
        let mut users = BTreeSet::from([owner]);
        for audience in audiences {
            match *audience {
                Audience::User(user) => {
                    users.insert(user);
                }
                Audience::Group(group) => {
                    let group = self.directory.group_fresh(group).await;
                    let members = group.map_err(Unavailable::new)?.into_iter();
                    let members = members.flat_map(|group| group.members);
                    let were_in = members.filter(|member| member.joined <= by_then);
                    users.extend(were_in.map(|member| member.user));
                }
                Audience::Everyone => {}
            }
        }
        Ok(users)
    }

    /// Whether nothing waits for a device that was stored before `sent`.
    async fn has_acked(
        &self,
        user: UserId,
        device: DeviceId,
        sent: Millis,
    ) -> Result<bool, Unavailable> {
        let since = self.inboxes.waiting_since(user, device).await.map_err(Unavailable::new)?;
        Ok(since.is_none_or(|since| since > sent))
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("after", &self.after).finish_non_exhaustive()
    }
}
