//! The directory's calls over any store that can change one document by
//! compare-and-set: what both implementations have in common.

use std::future::Future;

use async_trait::async_trait;
use schemas::{DeviceId, GroupId, MediaId, Micros, Millis, PushTarget, UserId};

use crate::{
    directory::Directory,
    document::{DeviceDocument, GroupDocument, MediaDocument, UserDocument},
    error::DirectoryError,
    group::{Group, GroupChange, GroupError, GroupOutcome},
    media::{
        Audience, Fetches, Media, MediaChange, MediaError, MediaOutcome, MediaPage, MediaPlace,
        MediaUsage, NewMedia, Shares,
    },
    token::{RefreshClaim, Rotation},
    user::{Device, NewDevice, NewUser, User, UserPatch},
    username::Username,
};

/// What is answered when a name has an owner.
pub(crate) const NAME_TAKEN: DirectoryError = DirectoryError::Conflict("username");

/// A store of users, groups and media.
///
/// Its `edit` functions read the newest document, let `decide` say what becomes
/// of it, and store that if nobody else stored one meanwhile. If others were
/// faster, or no answer comes, `decide` is asked again with what is there then.
/// Its second argument is what it answered to an earlier try that may have been
/// stored, since no answer came, and then what is there may be its own doing.
pub(crate) trait Documents: Send + Sync + 'static {
    /// The user of that id.
    fn read_user(&self, id: UserId, age: Age) -> impl Answer<Option<UserDocument>>;

    /// The users of those ids, in their order, each once; those who are not
    /// found were asked for anew.
    fn read_users(&self, ids: &[UserId]) -> impl Answer<Vec<UserDocument>>;

    /// The user of that name.
    fn read_user_named(&self, username: &Username) -> impl Answer<Option<UserDocument>>;

    /// Stores a new user, or answers [`NAME_TAKEN`].
    fn insert_user(&self, user: UserDocument, username: &Username) -> impl Answer<()>;

    /// Edits a user who has to be there.
    fn edit_user<T: Send>(
        &self,
        id: UserId,
        decide: impl FnMut(UserDocument, Option<&T>) -> Decided<UserDocument, T> + Send,
    ) -> impl Answer<T>;

    /// The group of that id.
    fn read_group(&self, id: GroupId, age: Age) -> impl Answer<Option<GroupDocument>>;

    /// The newest state of all groups that have this member.
    fn read_groups_of(&self, user: UserId) -> impl Answer<Vec<GroupDocument>>;

    /// Stores a new group, so that from then on its members find it.
    fn insert_group(&self, group: GroupDocument) -> impl Answer<()>;

    /// Edits a group, so that from then on its members find it, and no others.
    fn edit_group(
        &self,
        id: GroupId,
        decide: impl FnMut(
            Option<GroupDocument>,
            Option<&GroupOutcome>,
        ) -> Decided<GroupDocument, GroupOutcome, GroupError>
        + Send,
    ) -> impl Answer<GroupOutcome, GroupError>;

    /// The media of that id.
    fn read_media(&self, id: MediaId, age: Age) -> impl Answer<Option<MediaDocument>>;

    /// Stores new media.
    fn insert_media(&self, media: MediaDocument) -> impl Answer<()>;

    /// Edits media.
    fn edit_media(
        &self,
        id: MediaId,
        decide: impl FnMut(
            Option<MediaDocument>,
            Option<&MediaOutcome>,
        ) -> Decided<MediaDocument, MediaOutcome, MediaError>
        + Send,
    ) -> impl Answer<MediaOutcome, MediaError>;

    /// Removes the shares and the fetches of media, and then the media.
    fn remove_media(&self, id: MediaId) -> impl Answer<()>;

    /// Media that have not changed since before that time, from that place on.
    fn list_media(
        &self,
        before: Millis,
        from: Option<&MediaPlace>,
        limit: usize,
    ) -> impl Answer<(Vec<MediaDocument>, Option<MediaPlace>)>;

    /// With whom media were shared.
    fn read_shares(&self, id: MediaId) -> impl Answer<Shares>;

    /// Which devices have media.
    fn read_fetches(&self, id: MediaId) -> impl Answer<Fetches>;

    /// Stores that a device has media, now.
    fn put_fetch(&self, id: MediaId, by: DeviceId) -> impl Answer<()>;

    /// What all media of an owner come to.
    fn read_usage(&self, owner: UserId) -> impl Answer<MediaUsage>;

    /// Stores a share, made now.
    fn put_share(&self, id: MediaId, with: Audience) -> impl Answer<()>;

    /// Whether there is a share with one of these.
    fn has_share(&self, id: MediaId, with: &[Audience]) -> impl Answer<bool>;

    /// The groups with which media were shared, as far as the user may be in them.
    fn read_shared_groups(&self, id: MediaId, user: UserId) -> impl Answer<Vec<GroupId>>;
}

/// What a call on a store is.
pub(crate) trait Answer<T, E = DirectoryError>:
    Future<Output = Result<T, E>> + Send
{
}

impl<T, E, F: Future<Output = Result<T, E>> + Send> Answer<T, E> for F {}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// It may be a moment behind, but what is not found is confirmed with the
    /// newest state.
    Any,
    /// The newest state.
    Newest,
}

/// What becomes of a document, and what its changer wants answered.
pub(crate) enum Decision<D, T> {
    /// It stays as it is.
    Keep(T),
    /// This is to be stored.
    Store(D, T),
    /// It is to be deleted.
    Delete(T),
}

/// A decision, or what the caller is told instead.
pub(crate) type Decided<D, T, E = DirectoryError> = Result<Decision<D, T>, E>;

#[async_trait]
impl<S: Documents> Directory for S {
    async fn create_user(&self, new: NewUser) -> Result<User, DirectoryError> {
        let username = new.username.clone();
        let document = UserDocument::new(UserId::mint(), new);
        let user = document.to_user();
        self.insert_user(document, &username).await?;
        Ok(user)
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        let document = self.read_user(id, Age::Any).await?;
        Ok(document.as_ref().map(UserDocument::to_user))
    }

    async fn user_fresh(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        let document = self.read_user(id, Age::Newest).await?;
        Ok(document.as_ref().map(UserDocument::to_user))
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, DirectoryError> {
        let documents = self.read_users(ids).await?;
        Ok(documents.iter().map(UserDocument::to_user).collect())
    }

    async fn user_by_username(&self, username: &Username) -> Result<Option<User>, DirectoryError> {
        let document = self.read_user_named(username).await?;
        Ok(document.as_ref().map(UserDocument::to_user))
    }

    async fn update_user(&self, id: UserId, patch: &UserPatch) -> Result<User, DirectoryError> {
        self.edit_user(id, |mut user, _| {
            user.patch(patch);
            let answer = user.to_user();
            Ok(Decision::Store(user, answer))
        })
        .await
    }

    async fn link_device(&self, user: UserId, device: NewDevice) -> Result<Device, DirectoryError> {
        let device = DeviceDocument::new(device);
        self.edit_user(user, |mut user, _| {
            let answer = device.to_device();
            Ok(store_if(user.link(&device)?, user, answer))
        })
        .await
    }

    async fn unlink_device(&self, user: UserId, device: DeviceId) -> Result<bool, DirectoryError> {
        self.edit_user(user, |mut user, unlinked| {
            let was_linked = user.unlink(device);
            Ok(store_if(was_linked, user, was_linked || unlinked.is_some()))
        })
        .await
    }

    async fn renew_family(&self, user: UserId, device: DeviceId) -> Result<Device, DirectoryError> {
        self.edit_user(user, |mut user, _| {
            let device = user.renew_family(device)?;
            Ok(Decision::Store(user, device))
        })
        .await
    }

    async fn set_push(
        &self,
        user: UserId,
        device: DeviceId,
        target: Option<PushTarget>,
    ) -> Result<(), DirectoryError> {
        self.edit_user(user, |mut user, _| {
            let changed = user.set_push(device, target.clone())?;
            Ok(store_if(changed, user, ()))
        })
        .await
    }

    async fn drop_push(
        &self,
        user: UserId,
        device: DeviceId,
        target: &PushTarget,
    ) -> Result<bool, DirectoryError> {
        self.edit_user(user, |mut user, earlier| {
            let dropped = user.drop_push(device, target);
            Ok(store_if(dropped, user, dropped || earlier.is_some()))
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
        let rotation = self.edit_user(user, |mut user, _| {
            let rotation = user.rotate(device, presented, now);
            Ok(store_if(rotation != Rotation::Refused, user, rotation))
        });
        match rotation.await {
            Err(DirectoryError::NotFound(_)) => Ok(Rotation::Refused),
            rotation => rotation,
        }
    }

    async fn block(&self, user: UserId, other: UserId) -> Result<(), DirectoryError> {
        self.edit_user(user, |mut user, _| Ok(store_if(user.block(other)?, user, ()))).await
    }

    async fn unblock(&self, user: UserId, other: UserId) -> Result<(), DirectoryError> {
        self.edit_user(user, |mut user, _| Ok(store_if(user.unblock(other), user, ()))).await
    }

    async fn create_group(
        &self,
        creator: UserId,
        name: String,
        members: &[UserId],
    ) -> Result<Group, GroupError> {
        let group = Group::new(GroupId::mint(), creator, name, members, Millis::now())?;
        self.insert_group(GroupDocument::new(&group)).await?;
        Ok(group)
    }

    async fn group(&self, id: GroupId) -> Result<Option<Group>, DirectoryError> {
        let document = self.read_group(id, Age::Any).await?;
        Ok(document.as_ref().map(GroupDocument::to_group))
    }

    async fn group_fresh(&self, id: GroupId) -> Result<Option<Group>, DirectoryError> {
        let document = self.read_group(id, Age::Newest).await?;
        Ok(document.as_ref().map(GroupDocument::to_group))
    }

    async fn groups_of(&self, user: UserId) -> Result<Vec<Group>, DirectoryError> {
        let documents = self.read_groups_of(user).await?;
        let mut groups: Vec<Group> = documents.iter().map(GroupDocument::to_group).collect();
        groups.sort_unstable_by_key(|group| group.id);
        Ok(groups)
    }

    async fn change_group(
        &self,
        id: GroupId,
        actor: UserId,
        change: &GroupChange,
    ) -> Result<GroupOutcome, GroupError> {
        let now = Millis::now();
        self.edit_group(id, |group, earlier| decide_group(group, earlier, actor, change, now)).await
    }

    async fn create_media(&self, new: NewMedia) -> Result<Media, DirectoryError> {
        let media = Media::new(MediaId::mint(), new, Millis::now());
        self.insert_media(MediaDocument::new(&media)).await?;
        Ok(media)
    }

    async fn media(&self, id: MediaId) -> Result<Option<Media>, DirectoryError> {
        let document = self.read_media(id, Age::Any).await?;
        Ok(document.as_ref().map(MediaDocument::to_media))
    }

    async fn media_fresh(&self, id: MediaId) -> Result<Option<Media>, DirectoryError> {
        let document = self.read_media(id, Age::Newest).await?;
        Ok(document.as_ref().map(MediaDocument::to_media))
    }

    async fn change_media(
        &self,
        id: MediaId,
        change: &MediaChange,
    ) -> Result<MediaOutcome, MediaError> {
        let now = Millis::now();
        self.edit_media(id, |media, earlier| decide_media(media, earlier, change, now)).await
    }

    async fn delete_media(&self, id: MediaId) -> Result<(), DirectoryError> {
        self.remove_media(id).await
    }

    async fn media_before(
        &self,
        time: Millis,
        from: Option<&MediaPlace>,
        limit: usize,
    ) -> Result<MediaPage, DirectoryError> {
        let (documents, next) = self.list_media(time, from, limit).await?;
        Ok(MediaPage { media: documents.iter().map(MediaDocument::to_media).collect(), next })
    }

    async fn media_shares(&self, id: MediaId) -> Result<Shares, DirectoryError> {
        self.read_shares(id).await
    }

    async fn media_fetches(&self, id: MediaId) -> Result<Fetches, DirectoryError> {
        self.read_fetches(id).await
    }

    async fn note_fetch(&self, id: MediaId, by: DeviceId) -> Result<(), DirectoryError> {
        self.put_fetch(id, by).await
    }

    async fn media_usage(&self, owner: UserId) -> Result<MediaUsage, DirectoryError> {
        self.read_usage(owner).await
    }

    async fn share_media(&self, id: MediaId, with: Audience) -> Result<(), DirectoryError> {
        self.put_share(id, with).await
    }

    async fn is_media_shared(
        &self,
        id: MediaId,
        with: &[Audience],
    ) -> Result<bool, DirectoryError> {
        self.has_share(id, with).await
    }

    async fn groups_shared_with(
        &self,
        id: MediaId,
        user: UserId,
    ) -> Result<Vec<GroupId>, DirectoryError> {
        self.read_shared_groups(id, user).await
    }
}

/// A change that did nothing need not be stored.
fn store_if<D, T>(changed: bool, document: D, answer: T) -> Decision<D, T> {
    if changed { Decision::Store(document, answer) } else { Decision::Keep(answer) }
}

/// If an earlier try may have been stored and everything is as it would have
/// made it, its outcome is answered: better that two callers tell the members
/// of one change than that nobody does.
fn decide_group(
    group: Option<GroupDocument>,
    earlier: Option<&GroupOutcome>,
    actor: UserId,
    change: &GroupChange,
    now: Millis,
) -> Decided<GroupDocument, GroupOutcome, GroupError> {
    let Some(mut group) = group else {
        let deleted = earlier.filter(|earlier| earlier.group.members.is_empty());
        let none = GroupError::Directory(DirectoryError::NotFound("group"));
        return deleted.cloned().map(Decision::Keep).ok_or(none);
    };
    if let Some(earlier) = earlier
        && change.holds_in(&group.to_group())
    {
        return Ok(Decision::Keep(earlier.clone()));
    }
    let outcome = group.apply(actor, change, now)?;
    Ok(if outcome.group.members.is_empty() {
        Decision::Delete(outcome)
    } else {
        store_if(outcome.changed, group, outcome)
    })
}

/// If an earlier try may have been stored and the state is the one it would
/// have led to, its outcome is answered: who has uploaded is to be told so.
fn decide_media(
    media: Option<MediaDocument>,
    earlier: Option<&MediaOutcome>,
    change: &MediaChange,
    now: Millis,
) -> Decided<MediaDocument, MediaOutcome, MediaError> {
    let Some(mut media) = media else {
        return Err(MediaError::Directory(DirectoryError::NotFound("media")));
    };
    if let Some(earlier) = earlier.filter(|earlier| earlier.media.state == media.to_media().state) {
        return Ok(Decision::Keep(earlier.clone()));
    }
    let outcome = media.apply(change, now)?;
    Ok(store_if(outcome.changed, media, outcome))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use schemas::{body::Event, limits::GROUP_MEMBERS};

    use super::*;
    use crate::group::GroupRefusal;

    const NOW: Millis = Millis(1_700_000_000_000);

    /// A try that was stored, or not, and got no answer; and the next one.
    struct Retry {
        group: Group,
        admin: UserId,
        other: UserId,
    }

    impl Retry {
        fn new() -> Self {
            let [admin, other] = [0; 2].map(|_| UserId::mint());
            let group = Group::new(GroupId::mint(), admin, "a".into(), &[other], NOW).unwrap();
            Self { group, admin, other }
        }

        /// What is decided when the group is `found` after a try of `actor`'s
        /// change on this group.
        fn decide(
            &self,
            actor: UserId,
            change: &GroupChange,
            found: Option<&Group>,
        ) -> Decided<GroupDocument, GroupOutcome, GroupError> {
            let earlier = self.group.apply(actor, change, NOW).unwrap();
            decide_group(found.map(GroupDocument::new), Some(&earlier), actor, change, NOW)
        }
    }

    fn after(group: &Group, actor: UserId, change: &GroupChange) -> Group {
        group.apply(actor, change, NOW).unwrap().group
    }

    fn kept(decided: Decided<GroupDocument, GroupOutcome, GroupError>) -> Vec<Event> {
        match decided.unwrap() {
            Decision::Keep(outcome) => outcome.events,
            Decision::Store(..) | Decision::Delete(_) => panic!("stored again"),
        }
    }

    #[test]
    fn a_change_that_was_stored_without_an_answer_is_told_all_the_same() {
        let retry = Retry::new();
        let Retry { group, admin, other } = &retry;
        let (admin, other, new) = (*admin, *other, UserId::mint());
        for (actor, change, event) in [
            (admin, GroupChange::Put { user: new, role: None }, Event::MemberAdded { user: new }),
            (admin, GroupChange::Remove { user: other }, Event::MemberRemoved { user: other }),
            // Whoever asks for it may no longer be a member after it.
            (other, GroupChange::Remove { user: other }, Event::MemberLeft { user: other }),
        ] {
            let stored = after(group, actor, &change);
            assert_eq!(kept(retry.decide(actor, &change, Some(&stored))), [event]);
        }
    }

    #[test]
    fn a_group_that_was_left_by_its_last_member_without_an_answer_is_gone() {
        let mut retry = Retry::new();
        let (admin, other) = (retry.admin, retry.other);
        let leave = GroupChange::Remove { user: admin };
        retry.group = after(&retry.group, admin, &GroupChange::Remove { user: other });
        assert_eq!(kept(retry.decide(admin, &leave, None)), [Event::MemberLeft { user: admin }]);
        // Another change does not explain why there is no group.
        let add = retry.decide(admin, &GroupChange::Put { user: other, role: None }, None);
        assert!(matches!(add, Err(GroupError::Directory(DirectoryError::NotFound(_)))));
    }

    #[test]
    fn a_change_that_was_not_stored_is_decided_anew() {
        let retry = Retry::new();
        let Retry { group, admin, .. } = &retry;
        let (admin, new) = (*admin, UserId::mint());
        let add = GroupChange::Put { user: new, role: None };
        assert!(matches!(retry.decide(admin, &add, Some(group)), Ok(Decision::Store(..))));

        let mut full = group.clone();
        while full.members.len() < GROUP_MEMBERS {
            full = after(&full, admin, &GroupChange::Put { user: UserId::mint(), role: None });
        }
        let refused = retry.decide(admin, &add, Some(&full));
        assert!(matches!(refused, Err(GroupError::Refused(GroupRefusal::Full))));
    }
}
