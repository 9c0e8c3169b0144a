#![allow(clippy::unwrap_used)]

use std::{future::pending, io, sync::Mutex};

use async_trait::async_trait;
use schemas::{DeviceId, GroupId, MediaId, Micros, Millis, PushTarget};
use store::{
    Audience, Device, Fetches, Group, GroupChange, GroupError, GroupOutcome, Media, MediaChange,
    MediaError, MediaOutcome, MediaPage, MediaPlace, MediaUsage, NewDevice, NewMedia, NewUser,
    PasswordHash, RefreshClaim, Rotation, Shares, UserPatch, Username,
};

use super::*;

/// A directory of one user, which answers as it is told to.
#[derive(Default)]
struct OneUser {
    answers: Mutex<Answers>,
    asked: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
enum Answers {
    #[default]
    Known,
    Never,
    Refused,
}

fn user() -> UserId {
    UserId::from_parts(1, 1)
}

fn refused() -> DirectoryError {
    DirectoryError::Unavailable(io::Error::other("refused").into())
}

impl OneUser {
    async fn answer(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answers = *self.answers.lock().unwrap();
        match answers {
            Answers::Never => pending().await,
            Answers::Refused => Err(refused()),
            Answers::Known => Ok((id == user()).then(|| User {
                id,
                username: "alice".parse().unwrap(),
                name: "Alice".into(),
                phone: None,
                picture: None,
                password_hash: PasswordHash::new(""),
                settings: Settings::default(),
                blocked: Vec::new(),
                devices: Vec::new(),
                created: schemas::Millis::default(),
            })),
        }
    }
}

/// Nothing else of it is asked for.
#[async_trait]
impl Directory for OneUser {
    async fn user(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        self.answer(id).await
    }
    async fn user_fresh(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        self.answer(id).await
    }
    async fn create_user(&self, _: NewUser) -> Result<User, DirectoryError> {
        Err(refused())
    }
    async fn users(&self, _: &[UserId]) -> Result<Vec<User>, DirectoryError> {
        Err(refused())
    }
    async fn user_by_username(&self, _: &Username) -> Result<Option<User>, DirectoryError> {
        Err(refused())
    }
    async fn update_user(&self, _: UserId, _: &UserPatch) -> Result<User, DirectoryError> {
        Err(refused())
    }
    async fn link_device(&self, _: UserId, _: NewDevice) -> Result<Device, DirectoryError> {
        Err(refused())
    }
    async fn unlink_device(&self, _: UserId, _: DeviceId) -> Result<bool, DirectoryError> {
        Err(refused())
    }
    async fn renew_family(&self, _: UserId, _: DeviceId) -> Result<Device, DirectoryError> {
        Err(refused())
    }
    async fn set_push(
        &self,
        _: UserId,
        _: DeviceId,
        _: Option<PushTarget>,
    ) -> Result<(), DirectoryError> {
        Err(refused())
    }
    async fn drop_push(
        &self,
        _: UserId,
        _: DeviceId,
        _: &PushTarget,
    ) -> Result<bool, DirectoryError> {
        Err(refused())
    }
    async fn rotate_token(
        &self,
        _: UserId,
        _: DeviceId,
        _: RefreshClaim,
        _: Micros,
    ) -> Result<Rotation, DirectoryError> {
        Err(refused())
    }
    async fn block(&self, _: UserId, _: UserId) -> Result<(), DirectoryError> {
        Err(refused())
    }
    async fn unblock(&self, _: UserId, _: UserId) -> Result<(), DirectoryError> {
        Err(refused())
    }
    async fn create_group(&self, _: UserId, _: String, _: &[UserId]) -> Result<Group, GroupError> {
        Err(refused().into())
    }
    async fn group(&self, _: GroupId) -> Result<Option<Group>, DirectoryError> {
        Err(refused())
    }
    async fn group_fresh(&self, _: GroupId) -> Result<Option<Group>, DirectoryError> {
        Err(refused())
    }
    async fn groups_of(&self, _: UserId) -> Result<Vec<Group>, DirectoryError> {
        Err(refused())
    }
    async fn change_group(
        &self,
        _: GroupId,
        _: UserId,
        _: &GroupChange,
    ) -> Result<GroupOutcome, GroupError> {
        Err(refused().into())
    }
    async fn create_media(&self, _: NewMedia) -> Result<Media, DirectoryError> {
        Err(refused())
    }
    async fn media(&self, _: MediaId) -> Result<Option<Media>, DirectoryError> {
        Err(refused())
    }
    async fn media_fresh(&self, _: MediaId) -> Result<Option<Media>, DirectoryError> {
        Err(refused())
    }
    async fn change_media(&self, _: MediaId, _: &MediaChange) -> Result<MediaOutcome, MediaError> {
        Err(refused().into())
    }
    async fn delete_media(&self, _: MediaId) -> Result<(), DirectoryError> {
        Err(refused())
    }
    async fn media_before(
        &self,
        _: Millis,
        _: Option<&MediaPlace>,
        _: usize,
    ) -> Result<MediaPage, DirectoryError> {
        Err(refused())
    }
    async fn media_shares(&self, _: MediaId) -> Result<Shares, DirectoryError> {
        Err(refused())
    }
    async fn media_fetches(&self, _: MediaId) -> Result<Fetches, DirectoryError> {
        Err(refused())
    }
    async fn note_fetch(&self, _: MediaId, _: DeviceId) -> Result<(), DirectoryError> {
        Err(refused())
    }
    async fn media_usage(&self, _: UserId) -> Result<MediaUsage, DirectoryError> {
        Err(refused())
    }
    async fn share_media(&self, _: MediaId, _: Audience) -> Result<(), DirectoryError> {
        Err(refused())
    }
    async fn is_media_shared(&self, _: MediaId, _: &[Audience]) -> Result<bool, DirectoryError> {
        Err(refused())
    }
    async fn groups_shared_with(
        &self,
        _: MediaId,
        _: UserId,
    ) -> Result<Vec<GroupId>, DirectoryError> {
        Err(refused())
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_remembered_is_known_for_as_long_as_the_directory_is_away() {
    let directory = Arc::new(OneUser::default());
    let asked = || directory.asked.swap(0, Ordering::Relaxed);
    let roster = Roster::new(directory.clone(), Absence::default());
    for _ in 0..10 {
        roster.get(user()).await.unwrap().unwrap();
    }
    assert_eq!(asked(), 1);
    tokio::time::sleep(LIFE).await;
    roster.get(user()).await.unwrap().unwrap();
    assert_eq!(asked(), 1, "read again");

    for answers in [Answers::Never, Answers::Refused] {
        *directory.answers.lock().unwrap() = answers;
        tokio::time::sleep(100 * LIFE).await;
        for _ in 0..10 {
            roster.get(user()).await.unwrap().unwrap();
        }
        assert_eq!(asked(), 1, "{answers:?}: nobody waits again and again");
    }
    roster.get(UserId::mint()).await.unwrap_err();
    // A change is heard of through NATS, and the old state is never seen again.
    roster.forget(user());
    roster.get(user()).await.unwrap_err();
    *directory.answers.lock().unwrap() = Answers::Known;
    roster.get(user()).await.unwrap().unwrap();
}
