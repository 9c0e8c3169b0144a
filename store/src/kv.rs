//! The embedded directory: JSON documents in a JetStream KV bucket, each
//! changed by compare-and-set on its revision.
//!
//! | key | document |
//! |---|---|
//! | `user.<id>` | the user with devices, token state, blocks and settings |
//! | `username.<base64url of the folded name>` | which user has the name |

mod bucket;
mod patience;

use std::collections::HashSet;

use async_nats::jetstream;
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use schemas::{DeviceId, Micros, UserId};
use serde::{Deserialize, Serialize};
use tracing::warn;

use self::bucket::{Bucket, Decision};
use crate::{
    directory::Directory,
    document::{DeviceDocument, UserDocument},
    error::DirectoryError,
    token::{RefreshClaim, Rotation},
    user::{Device, NewDevice, NewUser, User, UserPatch},
    username::Username,
};

/// How many users of one bulk query are read at once.
const BULK_READS: usize = 32;

/// The directory in the bucket [`nats::subject::DIRECTORY_BUCKET`]. Cheap to clone.
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
            .change(&username_key(username), |claim| {
                Ok(match claim {
                    None => Decision::Store(Claim { user }, true),
                    Some(Claim { user: owner }) => Decision::Keep(owner == user),
                })
            })
            .await
    }

    /// Changes a user that has to be there.
    async fn change_user<T>(
        &self,
        id: UserId,
        mut decide: impl FnMut(UserDocument) -> Result<Decision<UserDocument, T>, DirectoryError>,
    ) -> Result<T, DirectoryError> {
        self.bucket
            .change(&user_key(id), |user| decide(user.ok_or(DirectoryError::NotFound("user"))?))
            .await
    }
}

#[async_trait]
impl Directory for KvDirectory {
    /// Two documents, the user first and then the claim of the name, which is
    /// the one that decides. A process that dies between them leaves a user
    /// whom no name leads to and whose id nobody was told: the name is still
    /// free, and nothing needs repair. Both lie in one stream, which loses its
    /// end if anything, so no claim outlives its user; and a user whose claim
    /// got no answer is kept, since the claim may have been stored.
    async fn create_user(&self, new: NewUser) -> Result<User, DirectoryError> {
        const TAKEN: DirectoryError = DirectoryError::Conflict("username");
        let username = new.username.clone();
        // Spares the common refusal the write and the deletion of a user.
        if self.bucket.read::<Claim>(&username_key(&username)).await?.is_some() {
            return Err(TAKEN);
        }
        let id = UserId::mint();
        let document = UserDocument::new(id, new);
        self.bucket
            .change(&user_key(id), |stored: Option<UserDocument>| {
                Ok(match stored {
                    None => Decision::Store(document.clone(), ()),
                    // An earlier try whose answer was lost.
                    Some(_) => Decision::Keep(()),
                })
            })
            .await?;
        if self.claim(&username, id).await? {
            return Ok(document.to_user());
        }
        if let Err(error) = self.bucket.delete(&user_key(id)).await {
            warn!(user = %id, %error, "a user who lost the race for a name stays behind");
        }
        Err(TAKEN)
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        let document = self.bucket.read(&user_key(id)).await?;
        Ok(document.as_ref().map(UserDocument::to_user))
    }

    async fn user_fresh(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        let document = self.bucket.read_newest(&user_key(id)).await?;
        Ok(document.as_ref().map(UserDocument::to_user))
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, DirectoryError> {
        let mut seen = HashSet::with_capacity(ids.len());
        let ids: Vec<UserId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        stream::iter(ids)
            .map(|id| self.user(id))
            .buffered(BULK_READS)
            .try_filter_map(|user| async { Ok(user) })
            .try_collect()
            .await
    }

    async fn user_by_username(&self, username: &Username) -> Result<Option<User>, DirectoryError> {
        match self.bucket.read(&username_key(username)).await? {
            Some(Claim { user }) => self.user(user).await,
            None => Ok(None),
        }
    }

    async fn update_user(&self, id: UserId, patch: &UserPatch) -> Result<User, DirectoryError> {
        self.change_user(id, |mut user| {
            user.patch(patch);
            let answer = user.to_user();
            Ok(Decision::Store(user, answer))
        })
        .await
    }

    async fn link_device(&self, user: UserId, device: NewDevice) -> Result<Device, DirectoryError> {
        let device = DeviceDocument::new(device);
        self.change_user(user, |mut user| {
            Ok(if user.link(&device)? {
                Decision::Store(user, device.to_device())
            } else {
                Decision::Keep(device.to_device())
            })
        })
        .await
    }

    async fn unlink_device(&self, user: UserId, device: DeviceId) -> Result<bool, DirectoryError> {
        // Kept from try to try: one whose answer was lost may have unlinked it.
        let mut was_linked = false;
        self.change_user(user, |mut user| {
            Ok(if user.unlink(device) {
                was_linked = true;
                Decision::Store(user, true)
            } else {
                Decision::Keep(was_linked)
            })
        })
        .await
    }

    async fn renew_family(&self, user: UserId, device: DeviceId) -> Result<Device, DirectoryError> {
        self.change_user(user, |mut user| {
            let device = user.renew_family(device)?;
            Ok(Decision::Store(user, device))
        })
        .await
    }

    async fn rotate_token(
        &self,
        user: UserId,
        device: DeviceId,
        presented: RefreshClaim,
        now: Micros,
    ) -> Result<Rotation, DirectoryError> {
        self.bucket
            .change(&user_key(user), |user: Option<UserDocument>| {
                let Some(mut user) = user else { return Ok(Decision::Keep(Rotation::Refused)) };
                Ok(match user.rotate(device, presented, now) {
                    Rotation::Refused => Decision::Keep(Rotation::Refused),
                    rotation => Decision::Store(user, rotation),
                })
            })
            .await
    }

    async fn block(&self, user: UserId, other: UserId) -> Result<(), DirectoryError> {
        self.change_user(user, |mut user| {
            let changed = user.block(other)?;
            Ok(if changed { Decision::Store(user, ()) } else { Decision::Keep(()) })
        })
        .await
    }

    async fn unblock(&self, user: UserId, other: UserId) -> Result<(), DirectoryError> {
        self.change_user(user, |mut user| {
            let changed = user.unblock(other);
            Ok(if changed { Decision::Store(user, ()) } else { Decision::Keep(()) })
        })
        .await
    }
}

fn user_key(id: UserId) -> String {
    format!("user.{id}")
}

/// A folded name has characters that keys cannot have.
fn username_key(username: &Username) -> String {
    format!("username.{}", URL_SAFE_NO_PAD.encode(username.folded()))
}
