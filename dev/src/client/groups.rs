//! The HTTP calls about groups.

use reqwest::Method;
use schemas::{
    GroupId, UserId,
    body::Role,
    http::{Group, List, NewGroup, PatchGroup, PutMember},
};

use super::{Account, ApiError};

impl Account {
    /// Makes a group with these members, and this user as its admin.
    ///
    /// # Errors
    /// [`NotFound`](schemas::ErrorCode::NotFound) for a member who is no user,
    /// [`GroupFull`](schemas::ErrorCode::GroupFull) for too many.
    pub async fn create_group(&self, name: &str, members: &[UserId]) -> Result<Group, ApiError> {
        let new = NewGroup { name: name.to_owned(), members: members.to_vec() };
        self.post("v1/groups", Some(&new)).await
    }

    /// The groups this user is in.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn groups(&self) -> Result<Vec<Group>, ApiError> {
        Ok(self.get::<List<Group>>("v1/groups").await?.items)
    }

    /// A group this user is in.
    ///
    /// # Errors
    /// [`NotMember`](schemas::ErrorCode::NotMember) of any other.
    pub async fn group(&self, group: GroupId) -> Result<Group, ApiError> {
        self.get(&format!("v1/groups/{group}")).await
    }

    /// Gives a group another name; it is answered once every gateway knows.
    ///
    /// # Errors
    /// As [`Account::group`].
    pub async fn rename_group(&self, group: GroupId, name: &str) -> Result<Group, ApiError> {
        let patch = PatchGroup { name: Some(name.to_owned()), picture: None };
        let path = format!("v1/groups/{group}");
        self.api.call(Method::PATCH, &path, Some(self.token()), Some(&patch)).await
    }

    /// Adds somebody to a group, or gives a member a role.
    ///
    /// # Errors
    /// [`Forbidden`](schemas::ErrorCode::Forbidden) to who is no admin,
    /// [`GroupFull`](schemas::ErrorCode::GroupFull) where there is no room.
    pub async fn put_member(
        &self,
        group: GroupId,
        user: UserId,
        role: Option<Role>,
    ) -> Result<Group, ApiError> {
        let path = format!("v1/groups/{group}/members/{user}");
        self.api.call(Method::PUT, &path, Some(self.token()), Some(&PutMember { role })).await
    }

    /// Removes somebody from a group; oneself, too.
    ///
    /// # Errors
    /// [`Forbidden`](schemas::ErrorCode::Forbidden) to who is no admin.
    pub async fn remove_member(&self, group: GroupId, user: UserId) -> Result<(), ApiError> {
        let path = format!("v1/groups/{group}/members/{user}");
        self.api.call(Method::DELETE, &path, Some(self.token()), None::<&()>).await
    }
}
