//! The embedded directory: JSON documents in a JetStream KV bucket, each
//! changed by compare-and-set on its revision.
//!
//! | key | document |
//! |---|---|
//! | `user.<id>` | the user with devices, token state, blocks and settings |
//! | `username.<base64url of the folded name>` | which user has the name |
//! | `group.<id>` | the group with its members |
//! | `member.<user>.<group>` | nothing: a mark that the user may be in the group |
//! | `media.<id>` | an upload |
//! | `owned.<user>.<media>.<bytes>` | nothing: a mark that the upload counts for its owner |
//! | `shared.<media>.<user or group or everyone>` | nothing: a mark that these may read it, written again when it is sent to them again |
//! | `fetched.<media>.<device>` | nothing: a mark that the device has it |

mod bucket;

use std::{collections::HashSet, str::FromStr};

use async_nats::jetstream;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use schemas::{DeviceId, GroupId, MediaId, Millis, UserId};
use serde::{Deserialize, Serialize};
use tracing::warn;

use self::bucket::{Bucket, Settled};
use crate::{
    document::{GroupDocument, MediaDocument, UserDocument},
    documents::{Age, Decided, Decision, Documents, NAME_TAKEN},
    error::DirectoryError,
    group::{GroupError, GroupOutcome},
    media::{Audience, Fetches, MediaError, MediaOutcome, MediaPlace, MediaUsage, Shares},
    username::Username,
};

/// How many documents one call reads at once.
const BULK_READS: usize = 32;

/// The directory in the bucket [`nats::subject::DIRECTORY_BUCKET`]. Cheap to clone.
///
/// # Who finds a group
/// A group and its members are one document; the marks lead from a member to
/// the group. A mark is written before the document that has the member, and
/// removed after the document that has not. So each member has a mark,
/// whenever a process dies; and a mark without a member, which a death between
/// the two leaves, costs readers a look into a group that does not have them.
///
/// Adding and removing the same member may race. The mark that goes with a
/// removal is only removed if it was written before the removal was stored; and
/// who adds a member after that has read the group after that, and has written
/// the mark after reading.
#[derive(Clone)]
pub struct KvDirectory {
    bucket: Bucket,
}

/// Says which user has a name; never given back.
#[derive(Serialize, Deserialize)]
struct Claim {
    user: UserId,
}

impl KvDirectory {
    /// Opens the bucket, which the topology has made.
    ///
    /// # Errors
    /// [`Unavailable`](DirectoryError::Unavailable) when there is none, or no answer.
    pub async fn open(jetstream: &jetstream::Context) -> Result<Self, DirectoryError> {
        Ok(Self { bucket: Bucket::open(jetstream).await? })
    }

    /// Claims the name for this user; answers whether it is the user's now.
    async fn claim(&self, username: &Username, user: UserId) -> Result<bool, DirectoryError> {
        self.bucket
            .change(&username_key(username), |claim, _| {
                Ok(match claim {
                    None => Decision::Store(Claim { user }, true),
                    Some(Claim { user: owner }) => Decision::Keep(owner == user),
                })
            })
            .await
    }

    /// What marks end in, and when the last of them was written.
    async fn read_marks<T: FromStr>(
        &self,
        pattern: &str,
    ) -> Result<(Vec<T>, Option<Millis>), DirectoryError> {
        let marks = self.bucket.keys(pattern).await?;
        if marks.is_empty() {
            return Ok((Vec::new(), None));
        }
        // Later than that, so that it is not too early for any of them.
        let last = self.bucket.last_written(pattern).await?;
        let ends = marks.iter().filter_map(|mark| mark.rsplit('.').next()?.parse().ok());
        Ok((ends.collect(), last))
    }
}

impl Documents for KvDirectory {
    async fn read_user(
        &self,
        id: UserId,
        age: Age,
    ) -> Result<Option<UserDocument>, DirectoryError> {
        match age {
            Age::Any => self.bucket.read(&user_key(id)).await,
            Age::Newest => self.bucket.read_newest(&user_key(id)).await,
        }
    }

    async fn read_users(&self, ids: &[UserId]) -> Result<Vec<UserDocument>, DirectoryError> {
        let mut seen = HashSet::with_capacity(ids.len());
        let ids: Vec<UserId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        stream::iter(ids)
            .map(|id| self.read_user(id, Age::Any))
            .buffered(BULK_READS)
            .try_filter_map(|user| async { Ok(user) })
            .try_collect()
            .await
    }

    async fn read_user_named(
        &self,
        username: &Username,
    ) -> Result<Option<UserDocument>, DirectoryError> {
        match self.bucket.read(&username_key(username)).await? {
            Some(Claim { user }) => self.read_user(user, Age::Any).await,
            None => Ok(None),
        }
    }

    /// Two documents, the user first and then the claim of the name, which is
    /// the one that decides. A process that dies between them leaves a user
    /// whom no name leads to and whose id nobody was told: the name is still
    /// free, and nothing needs repair. Both lie in one stream, which loses its
    /// end if anything, so no claim outlives its user; and a user whose claim
    /// got no answer is kept, since the claim may have been stored.
    async fn insert_user(
        &self,
        user: UserDocument,
        username: &Username,
    ) -> Result<(), DirectoryError> {
        // Spares the common refusal the write and the deletion of a user.
        if self.bucket.read::<Claim>(&username_key(username)).await?.is_some() {
            return Err(NAME_TAKEN);
        }
        let id = user.id();
        self.bucket
            .change(&user_key(id), |stored: Option<UserDocument>, _| {
                Ok(match stored {
                    None => Decision::Store(user.clone(), ()),
                    // An earlier try whose answer was lost.
                    Some(_) => Decision::Keep(()),
                })
            })
            .await?;
        if self.claim(username, id).await? {
            return Ok(());
        }
        if let Err(error) = self.bucket.delete(&user_key(id)).await {
            warn!(user = %id, %error, "a user who lost the race for a name stays behind");
        }
        Err(NAME_TAKEN)
    }

    async fn edit_user<T: Send>(
        &self,
        id: UserId,
        mut decide: impl FnMut(UserDocument, Option<&T>) -> Decided<UserDocument, T> + Send,
    ) -> Result<T, DirectoryError> {
        self.bucket
            .change(&user_key(id), |user: Option<UserDocument>, earlier| {
                decide(user.ok_or(DirectoryError::NotFound("user"))?, earlier)
            })
            .await
    }

    async fn read_group(
        &self,
        id: GroupId,
        age: Age,
    ) -> Result<Option<GroupDocument>, DirectoryError> {
        match age {
            Age::Any => self.bucket.read(&group_key(id)).await,
            Age::Newest => self.bucket.read_newest(&group_key(id)).await,
        }
    }

    async fn read_groups_of(&self, user: UserId) -> Result<Vec<GroupDocument>, DirectoryError> {
        let marks = self.bucket.keys(&format!("member.{user}.*")).await?;
        let group = |mark: String| mark.rsplit('.').next().and_then(|id| id.parse().ok());
        stream::iter(marks.into_iter().filter_map(group))
            .map(|id| self.read_group(id, Age::Newest))
            .buffer_unordered(BULK_READS)
            .try_filter_map(|group| async move { Ok(group.filter(|group| group.has_member(user))) })
            .try_collect()
            .await
    }

    async fn insert_group(&self, group: GroupDocument) -> Result<(), DirectoryError> {
        let id = group.id();
        let members = group.to_group().members;
        let marks = |(): &()| members.iter().map(|member| mark_key(member.user, id)).collect();
        let decide = |stored: Option<GroupDocument>, _: Option<&()>| {
            Ok(match stored {
                None => Decision::Store(group.clone(), ()),
                // An earlier try whose answer was lost.
                Some(_) => Decision::Keep(()),
            })
        };
        self.bucket.change_marked(&group_key(id), marks, decide).await.map(drop)
    }

    async fn edit_group(
        &self,
        id: GroupId,
        decide: impl FnMut(
            Option<GroupDocument>,
            Option<&GroupOutcome>,
        ) -> Decided<GroupDocument, GroupOutcome, GroupError>
        + Send,
    ) -> Result<GroupOutcome, GroupError> {
        let marks =
            |outcome: &GroupOutcome| outcome.joined().map(|user| mark_key(user, id)).collect();
        let settled = self.bucket.change_marked(&group_key(id), marks, decide).await?;
        let Settled { answer: outcome, revision } = settled;
        for user in outcome.departed() {
            if let Err(error) = self.bucket.unmark(&mark_key(user, id), revision).await {
                warn!(%user, group = %id, %error, "the mark of a member who is gone stays behind");
            }
        }
        Ok(outcome)
    }

    async fn read_media(
        &self,
        id: MediaId,
        age: Age,
    ) -> Result<Option<MediaDocument>, DirectoryError> {
        match age {
            Age::Any => self.bucket.read(&media_key(id)).await,
            Age::Newest => self.bucket.read_newest(&media_key(id)).await,
        }
    }

    /// The mark comes after the media and goes before it: whenever a process
    /// dies, none is left that counts for nothing.
    async fn insert_media(&self, media: MediaDocument) -> Result<(), DirectoryError> {
        self.bucket
            .change(&media_key(media.id()), |stored: Option<MediaDocument>, _| {
                Ok(match stored {
                    None => Decision::Store(media.clone(), ()),
                    // An earlier try whose answer was lost.
                    Some(_) => Decision::Keep(()),
                })
            })
            .await?;
        let (owner, id, size) = (media.owner(), media.id(), media.size());
        self.bucket.mark_one(format!("{}.{size}", owned_key(owner, id))).await
    }

    async fn edit_media(
        &self,
        id: MediaId,
        decide: impl FnMut(
            Option<MediaDocument>,
            Option<&MediaOutcome>,
        ) -> Decided<MediaDocument, MediaOutcome, MediaError>
        + Send,
    ) -> Result<MediaOutcome, MediaError> {
        self.bucket.change(&media_key(id), decide).await
    }

    /// Without markers: nobody gets that id again, and whoever edits the media
    /// meanwhile names a revision that is not there. The record goes last: as
    /// long as it is there, somebody comes back for what is left.
    async fn remove_media(&self, id: MediaId) -> Result<(), DirectoryError> {
        let (shares, fetches) = (shares_of(id), fetches_of(id));
        futures_util::try_join!(self.bucket.purge(&shares), self.bucket.purge(&fetches))?;
        if let Some(media) = self.read_media(id, Age::Newest).await? {
            self.bucket.purge(&format!("{}.*", owned_key(media.owner(), id))).await?;
        }
        self.bucket.purge(&media_key(id)).await
    }

    /// In the order in which records were changed last.
    async fn list_media(
        &self,
        before: Millis,
        from: Option<&MediaPlace>,
        limit: usize,
    ) -> Result<(Vec<MediaDocument>, Option<MediaPlace>), DirectoryError> {
        // One that was read here is a number.
        let from = from.and_then(|MediaPlace(place)| place.parse().ok()).unwrap_or_default();
        let (media, next) = self.bucket.oldest("media.*", from, before, limit).await?;
        Ok((media, next.map(|next| MediaPlace(next.to_string()))))
    }

    async fn read_shares(&self, id: MediaId) -> Result<Shares, DirectoryError> {
        let (with, last) = self.read_marks(&shares_of(id)).await?;
        Ok(Shares { with, last })
    }

    async fn read_fetches(&self, id: MediaId) -> Result<Fetches, DirectoryError> {
        let (by, last) = self.read_marks(&fetches_of(id)).await?;
        Ok(Fetches { by, last })
    }

    async fn put_fetch(&self, id: MediaId, by: DeviceId) -> Result<(), DirectoryError> {
        self.bucket.mark_one(format!("fetched.{id}.{by}")).await
    }

    async fn read_usage(&self, owner: UserId) -> Result<MediaUsage, DirectoryError> {
        let marks = self.bucket.keys(&format!("owned.{owner}.>")).await?;
        let sizes = marks.iter().filter_map(|mark| mark.rsplit('.').next()?.parse::<u64>().ok());
        Ok(sizes.fold(MediaUsage::default(), MediaUsage::with))
    }

    async fn put_share(&self, id: MediaId, with: Audience) -> Result<(), DirectoryError> {
        self.bucket.mark_one(share_key(id, with)).await
    }

    async fn has_share(&self, id: MediaId, with: &[Audience]) -> Result<bool, DirectoryError> {
        let keys: Vec<String> = with.iter().map(|with| share_key(id, *with)).collect();
        let looks = stream::iter(keys)
            .map(|key| async move { self.bucket.has(&key).await })
            .buffer_unordered(BULK_READS);
        looks.try_fold(false, |one, other| async move { Ok(one || other) }).await
    }

    async fn read_shared_groups(
        &self,
        id: MediaId,
        user: UserId,
    ) -> Result<Vec<GroupId>, DirectoryError> {
        let (shares, memberships) = (shares_of(id), format!("member.{user}.*"));
        let (shares, memberships) =
            futures_util::try_join!(self.bucket.keys(&shares), self.bucket.keys(&memberships))?;
        let group = |mark: &String| mark.rsplit('.').next().and_then(|id| id.parse().ok());
        let mine: HashSet<GroupId> = memberships.iter().filter_map(group).collect();
        Ok(shares.iter().filter_map(group).filter(|group| mine.contains(group)).collect())
    }
}

fn user_key(id: UserId) -> String {
    format!("user.{id}")
}

/// A folded name has characters that keys cannot have.
fn username_key(username: &Username) -> String {
    format!("username.{}", URL_SAFE_NO_PAD.encode(username.folded()))
}

fn group_key(id: GroupId) -> String {
    format!("group.{id}")
}

fn media_key(id: MediaId) -> String {
    format!("media.{id}")
}

/// Without the size, which a removal need not know.
fn owned_key(owner: UserId, media: MediaId) -> String {
    format!("owned.{owner}.{media}")
}

fn shares_of(media: MediaId) -> String {
    format!("shared.{media}.*")
}

fn fetches_of(media: MediaId) -> String {
    format!("fetched.{media}.*")
}

fn share_key(media: MediaId, with: Audience) -> String {
    format!("shared.{media}.{with}")
}

fn mark_key(user: UserId, group: GroupId) -> String {
    format!("member.{user}.{group}")
}
