//! The directory's contract.

use async_trait::async_trait;
use schemas::{DeviceId, GroupId, MediaId, Micros, Millis, PushTarget, UserId, body::Role};

use crate::{
    error::DirectoryError,
    group::{Group, GroupChange, GroupError, GroupOutcome, GroupPatch},
    media::{
        Audience, Fetches, Media, MediaChange, MediaError, MediaOutcome, MediaPage, MediaPlace,
        MediaUsage, NewMedia, Shares,
    },
    token::{RefreshClaim, Rotation},
    user::{Device, NewDevice, NewUser, User, UserPatch},
    username::Username,
};

/// Users, devices, usernames, token state, blocks, settings, groups, and media.
///
/// Every call changes at most one document atomically. Calls are safe to
/// repeat after [`DirectoryError::Unavailable`], which a write may answer
/// although it was stored.
///
/// # How new an answer is
/// A write sees everything that was answered before it. [`user`](Self::user),
/// [`users`](Self::users) and [`user_by_username`](Self::user_by_username) may
/// come from a replica that is a moment behind, but what they do not find is
/// confirmed with the newest state, so `None` is to be believed. What a found
/// user *contains* may still be old. So before a caller refuses for want of
/// something inside (a device that is not there, a token family that does not
/// match), and when it fills a cache again after an invalidation, it asks
/// [`user_fresh`](Self::user_fresh). The same holds for [`group`](Self::group)
/// and [`group_fresh`](Self::group_fresh), and for [`media`](Self::media) and
/// [`media_fresh`](Self::media_fresh).
///
/// # What changes for caches
/// Gateways cache users and groups. The directory tells nobody: after each of
/// these the caller publishes on `nats::subject::changed` of that user:
///
/// | call | changes |
/// |---|---|
/// | `update_user` | name, phone, picture, settings |
/// | `link_device`, `unlink_device` | devices |
/// | `renew_family`, `rotate_token` when `Revoked` | a device's family, and so which access tokens are good |
/// | `block`, `unblock` | the blocked users |
/// | `set_push`, `drop_push` | how a device is woken, which only the push worker caches |
///
/// `create_user` makes an id that nobody can have cached, and `rotate_token`
/// when `Issued` moves only numbers that no cache is asked for.
///
/// A group's cached copy is old after each outcome that
/// [changed](GroupOutcome::changed) it, and `create_group` changes what
/// `groups_of` answers for each of its members.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Registers a user together with the first device, whose first refresh
    /// token counts as issued ([`TokenState::newest`](crate::TokenState::newest)).
    ///
    /// # Errors
    /// [`Conflict`](DirectoryError::Conflict) when the username is taken. A
    /// repeat after `Unavailable` answers that too if the first try had been stored.
    async fn create_user(&self, new: NewUser) -> Result<User, DirectoryError>;

    /// The user of that id.
    ///
    /// # Errors
    /// Only [`Unavailable`](DirectoryError::Unavailable) and
    /// [`Unreadable`](DirectoryError::Unreadable), as any call.
    async fn user(&self, id: UserId) -> Result<Option<User>, DirectoryError>;

    /// As [`user`](Self::user), from the newest state; costs more.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn user_fresh(&self, id: UserId) -> Result<Option<User>, DirectoryError>;

    /// The users of those ids, read concurrently: in the order of `ids`, each
    /// once, unknown ones left out. The caller bounds the number
    /// ([`schemas::limits::BULK_IDS`]).
    ///
    /// # Errors
    /// As [`user`](Self::user); one failure fails the call.
    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, DirectoryError>;

    /// The user of that name, in whatever case it is written.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn user_by_username(&self, username: &Username) -> Result<Option<User>, DirectoryError>;

    /// Changes what the patch names, and answers the user as stored.
    ///
    /// # Errors
    /// [`NotFound`](DirectoryError::NotFound) for an unknown user.
    async fn update_user(&self, id: UserId, patch: &UserPatch) -> Result<User, DirectoryError>;

    /// Links a new device, with its first refresh token counted as issued.
    ///
    /// # Errors
    /// [`NotFound`](DirectoryError::NotFound) for an unknown user,
    /// [`LimitReached`](DirectoryError::LimitReached) when the user has
    /// [`schemas::limits::DEVICES`], however many race for the last place.
    async fn link_device(&self, user: UserId, device: NewDevice) -> Result<Device, DirectoryError>;

    /// Unlinks a device, which makes its tokens worthless. Answers whether it
    /// was linked when the call began; of racing calls more than one may say so.
    ///
    /// # Errors
    /// [`NotFound`](DirectoryError::NotFound) for an unknown user.
    async fn unlink_device(&self, user: UserId, device: DeviceId) -> Result<bool, DirectoryError>;

    /// A login on a device that is linked: a new family whose first refresh
    /// token counts as issued, so that all earlier tokens of the device are worthless.
    ///
    /// # Errors
    /// [`NotFound`](DirectoryError::NotFound) for an unknown user, or a device
    /// that is not linked.
    async fn renew_family(&self, user: UserId, device: DeviceId) -> Result<Device, DirectoryError>;

    /// Says how a device is woken from now on; nothing: not at all. A login on
    /// the device keeps it, unlinking ends it.
    ///
    /// # Errors
    /// [`NotFound`](DirectoryError::NotFound) for an unknown user, or a device
    /// that is not linked.
    async fn set_push(
        &self,
        user: UserId,
        device: DeviceId,
        target: Option<PushTarget>,
    ) -> Result<(), DirectoryError>;

    /// Forgets that a device is woken so, unless it is woken in another way by
    /// now. Answers whether it was.
    ///
    /// # Errors
    /// [`NotFound`](DirectoryError::NotFound) for an unknown user.
    async fn drop_push(
        &self,
        user: UserId,
        device: DeviceId,
        target: &PushTarget,
    ) -> Result<bool, DirectoryError>;

    /// Presents a refresh token at `now` and carries out what it means
    /// ([`TokenState::present`](crate::TokenState::present)).
    ///
    /// # Errors
    /// As [`user`](Self::user): an unknown user or device is [`Rotation::Refused`].
    async fn rotate_token(
        &self,
        user: UserId,
        device: DeviceId,
        presented: RefreshClaim,
        now: Micros,
    ) -> Result<Rotation, DirectoryError>;

    /// `user` blocks `other`; again changes nothing. That `other` exists is the
    /// caller's to check.
    ///
    /// # Errors
    /// [`NotFound`](DirectoryError::NotFound) for an unknown `user`,
    /// [`LimitReached`](DirectoryError::LimitReached) beyond
    /// [`schemas::limits::BLOCKED_USERS`].
    async fn block(&self, user: UserId, other: UserId) -> Result<(), DirectoryError>;

    /// `user` no longer blocks `other`; again changes nothing.
    ///
    /// # Errors
    /// [`NotFound`](DirectoryError::NotFound) for an unknown `user`.
    async fn unblock(&self, user: UserId, other: UserId) -> Result<(), DirectoryError>;

    /// Whom a user has blocked, from the newest state; nobody for an unknown
    /// user. Every [`User`] says it too.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn blocked(&self, user: UserId) -> Result<Vec<UserId>, DirectoryError> {
        let user = self.user_fresh(user).await?;
        Ok(user.map(|user| user.blocked).unwrap_or_default())
    }

    /// Makes a group with `creator` as its admin and the others as members,
    /// each once. That they exist is the caller's to check. A repeat after
    /// `Unavailable` makes another one.
    ///
    /// # Errors
    /// [`Full`](crate::GroupRefusal::Full) for more than
    /// [`schemas::limits::GROUP_MEMBERS`], the creator included.
    async fn create_group(
        &self,
        creator: UserId,
        name: String,
        members: &[UserId],
    ) -> Result<Group, GroupError>;

    /// The group of that id.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn group(&self, id: GroupId) -> Result<Option<Group>, DirectoryError>;

    /// As [`group`](Self::group), from the newest state; costs more.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn group_fresh(&self, id: GroupId) -> Result<Option<Group>, DirectoryError>;

    /// All groups that have this member, from the newest state, the oldest group first.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn groups_of(&self, user: UserId) -> Result<Vec<Group>, DirectoryError>;

    /// Makes a change if the group lets `actor` ([`Group::apply`]), and answers
    /// what it led to. Of those who race for the same change, one is told that
    /// it changed something; only where an answer was lost on its way from the
    /// store, more than one may be.
    ///
    /// # Errors
    /// [`Refused`](GroupError::Refused) with the group's reason, and
    /// [`NotFound`](DirectoryError::NotFound) for an unknown group, or one that
    /// the last member has left.
    async fn change_group(
        &self,
        id: GroupId,
        actor: UserId,
        change: &GroupChange,
    ) -> Result<GroupOutcome, GroupError>;

    /// Gives the group another name or picture.
    ///
    /// # Errors
    /// As [`change_group`](Self::change_group); refused to those who are not members.
    async fn update_group(
        &self,
        id: GroupId,
        actor: UserId,
        patch: GroupPatch,
    ) -> Result<GroupOutcome, GroupError> {
        self.change_group(id, actor, &GroupChange::Edit(patch)).await
    }

    /// Adds a member, with that role if one is given; who is in already gets
    /// it, too. That `user` exists is the caller's to check.
    ///
    /// # Errors
    /// As [`change_group`](Self::change_group); refused to those who are not
    /// admins, and when the group is [`Full`](crate::GroupRefusal::Full),
    /// however many race for the last place.
    async fn add_member(
        &self,
        id: GroupId,
        actor: UserId,
        user: UserId,
        role: Option<Role>,
    ) -> Result<GroupOutcome, GroupError> {
        self.change_group(id, actor, &GroupChange::Put { user, role }).await
    }

    /// Removes a member, who may be `actor`. The oldest member takes the place
    /// of a last admin who leaves; a group without members is deleted.
    ///
    /// # Errors
    /// As [`change_group`](Self::change_group); refused to those who are
    /// neither an admin nor `user`.
    async fn remove_member(
        &self,
        id: GroupId,
        actor: UserId,
        user: UserId,
    ) -> Result<GroupOutcome, GroupError> {
        self.change_group(id, actor, &GroupChange::Remove { user }).await
    }

    /// Gives a role to somebody who has to be a member.
    ///
    /// # Errors
    /// As [`change_group`](Self::change_group); refused to those who are not
    /// admins, for who is not a member, and when it would leave the group
    /// without an admin.
    async fn set_role(
        &self,
        id: GroupId,
        actor: UserId,
        user: UserId,
        role: Role,
    ) -> Result<GroupOutcome, GroupError> {
        self.change_group(id, actor, &GroupChange::SetRole { user, role }).await
    }

    /// Reserves an id for an upload. A repeat after `Unavailable` reserves
    /// another one.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn create_media(&self, new: NewMedia) -> Result<Media, DirectoryError>;

    /// The media of that id.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn media(&self, id: MediaId) -> Result<Option<Media>, DirectoryError>;

    /// As [`media`](Self::media), from the newest state; costs more.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn media_fresh(&self, id: MediaId) -> Result<Option<Media>, DirectoryError>;

    /// Makes a change if the record lets it be made ([`Media::apply`]), and
    /// answers what it led to. Of those who race for one, one is told that it
    /// changed something; only where an answer was lost on its way from the
    /// store, more than one may be.
    ///
    /// # Errors
    /// [`Refused`](MediaError::Refused) with the record's reason, and
    /// [`NotFound`](DirectoryError::NotFound) for unknown media.
    async fn change_media(
        &self,
        id: MediaId,
        change: &MediaChange,
    ) -> Result<MediaOutcome, MediaError>;

    /// Forgets media, with whom they were shared, and who has them; the unknown
    /// are forgotten already.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn delete_media(&self, id: MediaId) -> Result<(), DirectoryError>;

    /// Media whose records have not changed since before that time, from that
    /// place on or from the first one: at most `limit`, each once, in an order
    /// that begins with old ones. A record that changes may be listed again, and
    /// one that was made later than that never is.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn media_before(
        &self,
        time: Millis,
        from: Option<&MediaPlace>,
        limit: usize,
    ) -> Result<MediaPage, DirectoryError>;

    /// With whom media were shared, from the newest state.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn media_shares(&self, id: MediaId) -> Result<Shares, DirectoryError>;

    /// Which devices have media, from the newest state.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn media_fetches(&self, id: MediaId) -> Result<Fetches, DirectoryError>;

    /// Notes that a device has media. That there are such media is the caller's
    /// to check.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn note_fetch(&self, id: MediaId, by: DeviceId) -> Result<(), DirectoryError>;

    /// What all media of a user come to that were reserved and not deleted.
    /// Deleted ones may count no more a moment before they are gone, and of those
    /// whose reservation was not answered some may not count.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn media_usage(&self, owner: UserId) -> Result<MediaUsage, DirectoryError>;

    /// Lets those read media to whom they are sent or shown. Again only changes
    /// when that was done last. That there are such media is the caller's to check.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn share_media(&self, id: MediaId, with: Audience) -> Result<(), DirectoryError>;

    /// Whether media were shared with one of these, each of which is looked up;
    /// the caller bounds their number.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn is_media_shared(&self, id: MediaId, with: &[Audience])
    -> Result<bool, DirectoryError>;

    /// The groups with which media were shared, as far as the user may be in
    /// them. Who is in a group is the group's own to say: this leads to groups
    /// that the user has left a moment ago, and to none that the user never was in.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    async fn groups_shared_with(
        &self,
        id: MediaId,
        user: UserId,
    ) -> Result<Vec<GroupId>, DirectoryError>;
}
