//! The directory in MongoDB: collections whose
//! documents are each changed by compare-and-set on a revision of their own.
//!
//! | collection | document | index |
//! |---|---|---|
//! | `users` | the user with devices, token state, blocks and settings | `username_folded`, unique |
//! | `groups` | the group with its members | `members.user` |
//! | `media` | an upload | `owner` |
//! | `shares` | who may read media beside their owner | `media` |
//! | `fetches` | which device has media | `media` |
//!
//! Nothing here asks for more than one document at a time to be atomic: no
//! transactions, no sessions, no bulk writes, no update pipelines.

mod answer;
mod connection;
mod records;

use std::collections::HashMap;

use mongodb::bson::doc;
use schemas::{DeviceId, GroupId, MediaId, Millis, UserId};

pub(crate) use self::connection::check;
use self::records::Records;
use crate::{
    document::{FetchDocument, GroupDocument, MediaDocument, ShareDocument, UserDocument},
    documents::{Age, Decided, Documents, NAME_TAKEN},
    error::DirectoryError,
    group::{GroupError, GroupOutcome},
    media::{Audience, Fetches, MediaError, MediaOutcome, MediaPlace, MediaUsage, Shares},
    open::OpenError,
    username::Username,
};

/// The field that makes usernames unique. It is not the document's own: those
/// keep fields they do not know, and a name never changes.
const USERNAME: &str = "username_folded";
/// The field that leads from a member to the groups.
const MEMBER: &str = "members.user";
/// The field that leads from a user to the media.
const OWNER: &str = "owner";
/// The field that leads from media to their shares and fetches.
const MEDIA: &str = "media";

/// The directory in a MongoDB database. Cheap to clone.
///
/// Writes are answered by a majority and so are the newest reads, by the
/// primary: what was answered stays. Other reads go to a secondary while there
/// is no primary.
#[derive(Clone)]
pub struct MongoDirectory {
    users: Records<UserDocument>,
    groups: Records<GroupDocument>,
    media: Records<MediaDocument>,
    shares: Records<ShareDocument>,
    fetches: Records<FetchDocument>,
}

impl MongoDirectory {
    /// Connects to the database named in a connection string, or else
    /// `petrel`, and sees to its indexes. Waits for the server for up to
    /// [`OPEN_DEADLINE`](crate::OPEN_DEADLINE). Afterwards a lost connection
    /// comes back by itself.
    ///
    /// # Errors
    /// When the connection string is wrong, no server answers in time, or an
    /// index is there with other properties.
    pub async fn connect(uri: &str) -> Result<Self, OpenError> {
        let database = connection::connect(uri).await?;
        let directory = Self {
            users: Records::new(database.collection("users")),
            groups: Records::new(database.collection("groups")),
            media: Records::new(database.collection("media")),
            shares: Records::new(database.collection("shares")),
            fetches: Records::new(database.collection("fetches")),
        };
        directory.users.index(USERNAME, true).await?;
        directory.groups.index(MEMBER, false).await?;
        directory.media.index(OWNER, false).await?;
        directory.shares.index(MEDIA, false).await?;
        directory.fetches.index(MEDIA, false).await?;
        tracing::info!(database = database.name(), "the directory is in MongoDB");
        Ok(directory)
    }
}

impl Documents for MongoDirectory {
    async fn read_user(
        &self,
        id: UserId,
        age: Age,
    ) -> Result<Option<UserDocument>, DirectoryError> {
        self.users.find_one(doc! { "_id": id.to_string() }, age).await
    }

    async fn read_users(&self, ids: &[UserId]) -> Result<Vec<UserDocument>, DirectoryError> {
        let mut found = HashMap::new();
        for age in [Age::Any, Age::Newest] {
            let missing = ids.iter().filter(|id| !found.contains_key(*id));
            let missing: Vec<String> = missing.map(UserId::to_string).collect();
            if missing.is_empty() {
                break;
            }
            let users = self.users.find(doc! { "_id": { "$in": missing } }, age).await?;
            found.extend(users.into_iter().map(|user| (user.id(), user)));
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn read_user_named(
        &self,
        username: &Username,
    ) -> Result<Option<UserDocument>, DirectoryError> {
        self.users.find_one(doc! { USERNAME: username.folded() }, Age::Any).await
    }

    async fn insert_user(
        &self,
        user: UserDocument,
        username: &Username,
    ) -> Result<(), DirectoryError> {
        let id = user.id().to_string();
        let inserted = self.users.insert(&id, &user, doc! { USERNAME: username.folded() }).await?;
        if inserted { Ok(()) } else { Err(NAME_TAKEN) }
    }

    async fn edit_user<T: Send>(
        &self,
        id: UserId,
        mut decide: impl FnMut(UserDocument, Option<&T>) -> Decided<UserDocument, T> + Send,
    ) -> Result<T, DirectoryError> {
        self.users
            .change(&id.to_string(), |user, earlier| {
                decide(user.ok_or(DirectoryError::NotFound("user"))?, earlier)
            })
            .await
    }

    async fn read_group(
        &self,
        id: GroupId,
        age: Age,
    ) -> Result<Option<GroupDocument>, DirectoryError> {
        self.groups.find_one(doc! { "_id": id.to_string() }, age).await
    }

    async fn read_groups_of(&self, user: UserId) -> Result<Vec<GroupDocument>, DirectoryError> {
        self.groups.find(doc! { MEMBER: user.to_string() }, Age::Newest).await
    }

    async fn insert_group(&self, group: GroupDocument) -> Result<(), DirectoryError> {
        self.groups.insert(&group.id().to_string(), &group, doc! {}).await.map(drop)
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
        self.groups.change(&id.to_string(), decide).await
    }

    async fn read_media(
        &self,
        id: MediaId,
        age: Age,
    ) -> Result<Option<MediaDocument>, DirectoryError> {
        self.media.find_one(doc! { "_id": id.to_string() }, age).await
    }

    async fn insert_media(&self, media: MediaDocument) -> Result<(), DirectoryError> {
        self.media.insert(&media.id().to_string(), &media, doc! {}).await.map(drop)
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
        self.media.change(&id.to_string(), decide).await
    }

    async fn remove_media(&self, id: MediaId) -> Result<(), DirectoryError> {
        self.shares.remove(doc! { MEDIA: id.to_string() }).await?;
        self.fetches.remove(doc! { MEDIA: id.to_string() }).await?;
        self.media.remove(doc! { "_id": id.to_string() }).await
    }

    /// In the order in which they were reserved.
    async fn list_media(
        &self,
        before: Millis,
        from: Option<&MediaPlace>,
        limit: usize,
    ) -> Result<(Vec<MediaDocument>, Option<MediaPlace>), DirectoryError> {
        let before = MediaId::from_parts(before.0.max(0).unsigned_abs(), 0).to_string();
        let after = from.map_or("", |MediaPlace(after)| after);
        let (media, last) =
            self.media.first(doc! { "_id": { "$gt": after, "$lt": before } }, limit).await?;
        Ok((media, last.map(MediaPlace)))
    }

    async fn read_shares(&self, id: MediaId) -> Result<Shares, DirectoryError> {
        let shares = self.shares.find(doc! { MEDIA: id.to_string() }, Age::Newest).await?;
        Ok(Shares {
            with: shares.iter().map(ShareDocument::with).collect(),
            // Of one the time may be missing, and then it is not known.
            last: shares
                .iter()
                .map(ShareDocument::at)
                .max_by_key(|at| (at.is_none(), *at))
                .flatten(),
        })
    }

    async fn read_fetches(&self, id: MediaId) -> Result<Fetches, DirectoryError> {
        let fetches = self.fetches.find(doc! { MEDIA: id.to_string() }, Age::Newest).await?;
        Ok(Fetches {
            by: fetches.iter().map(FetchDocument::by).collect(),
            last: fetches.iter().map(FetchDocument::at).max(),
        })
    }

    async fn put_fetch(&self, id: MediaId, by: DeviceId) -> Result<(), DirectoryError> {
        self.fetches.put(&format!("{id}.{by}"), &FetchDocument::new(id, by, Millis::now())).await
    }

    async fn read_usage(&self, owner: UserId) -> Result<MediaUsage, DirectoryError> {
        let media = self.media.find(doc! { OWNER: owner.to_string() }, Age::Newest).await?;
        let sizes = media.iter().map(MediaDocument::size);
        Ok(sizes.fold(MediaUsage::default(), MediaUsage::with))
    }

    async fn put_share(&self, id: MediaId, with: Audience) -> Result<(), DirectoryError> {
        self.shares.put(&share_id(id, with), &ShareDocument::new(id, with, Millis::now())).await
    }

    async fn has_share(&self, id: MediaId, with: &[Audience]) -> Result<bool, DirectoryError> {
        let ids: Vec<String> = with.iter().map(|with| share_id(id, *with)).collect();
        let found = self.shares.find_one(doc! { "_id": { "$in": ids } }, Age::Any).await?;
        Ok(found.is_some())
    }

    async fn read_shared_groups(
        &self,
        id: MediaId,
        user: UserId,
    ) -> Result<Vec<GroupId>, DirectoryError> {
        let groups = self.groups.find(doc! { MEMBER: user.to_string() }, Age::Any).await?;
        let ids = groups.iter().map(|group| share_id(id, Audience::Group(group.id())));
        let ids: Vec<String> = ids.collect();
        let shares = self.shares.find(doc! { "_id": { "$in": ids } }, Age::Any).await?;
        let group = |share: &ShareDocument| match share.with() {
            Audience::Group(group) => Some(group),
            Audience::User(_) | Audience::Everyone => None,
        };
        Ok(shares.iter().filter_map(group).collect())
    }
}

fn share_id(media: MediaId, with: Audience) -> String {
    format!("{media}.{with}")
}
