//! Groups, and who is in them.

use std::{collections::HashSet, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use schemas::{
    ErrorCode, GroupId, UserId,
    http::{Group, GroupMember, List, NewGroup, PatchGroup, PutMember},
    limits::GROUP_MEMBERS,
};
use store::{Audience, GroupChange, GroupPatch, Member};

use super::{
    account::check_name,
    extract::{Bearer, JsonBody, OptionalJson, PathId},
    problem::HttpError,
};
use crate::{
    app::App,
    group::{no_such_group, not_member},
};

/// A member in the path.
#[derive(Debug)]
pub(super) struct MemberPath {
    group: GroupId,
    user: UserId,
}

/// `POST /v1/groups`
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    JsonBody(new): JsonBody<NewGroup>,
) -> Result<(StatusCode, Json<Group>), HttpError> {
    app.limits.groups.take(me.user)?;
    let name = check_name(new.name)?;
    let mut named = HashSet::from([me.user]);
    let mut members = new.members;
    members.retain(|member| named.insert(*member));
    // Before so many are looked up.
    if members.len() >= GROUP_MEMBERS {
        let why = format!("a group has at most {GROUP_MEMBERS} members");
        return Err(HttpError::new(ErrorCode::GroupFull, why));
    }
    if app.directory.users(&members).await?.len() < members.len() {
        return Err(no_such_user());
    }
    let group = app.create_group(me.user, name, members).await?;
    Ok((StatusCode::CREATED, shown(group)))
}

/// `GET /v1/groups`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
) -> Result<Json<List<Group>>, HttpError> {
    app.limits.lookups.take(me.user)?;
    let groups = app.directory.groups_of(me.user).await?;
    Ok(Json(List { items: groups.into_iter().map(as_members_see_it).collect() }))
}

/// `GET /v1/groups/{id}`
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(group): PathId<GroupId>,
) -> Result<Json<Group>, HttpError> {
    app.limits.lookups.take(me.user)?;
    let group = app.directory.group_fresh(group).await?.ok_or_else(no_such_group)?;
    group.member(me.user).ok_or_else(not_member)?;
    Ok(shown(group))
}

/// `PATCH /v1/groups/{id}`
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(group): PathId<GroupId>,
    JsonBody(patch): JsonBody<PatchGroup>,
) -> Result<Json<Group>, HttpError> {
    app.limits.group_changes.take(me.user)?;
    let name = patch.name.map(check_name).transpose()?;
    if let Some(Some(picture)) = patch.picture {
        // Who is refused must not have shown it to everybody.
        if !app.is_member(me.user, group).await? {
            return Err(not_member().into());
        }
        // Whoever may see it may also make it their own picture, member or not.
        app.show(me.user, picture, Audience::Group(group)).await?;
    }
    let change = GroupChange::Edit(GroupPatch { name, picture: patch.picture });
    Ok(shown(app.change_group(me.user, group, change).await?))
}

/// `PUT /v1/groups/{id}/members/{user}`
pub(super) async fn put_member(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    MemberPath { group, user }: MemberPath,
    OptionalJson(put): OptionalJson<PutMember>,
) -> Result<Json<Group>, HttpError> {
    app.limits.group_changes.take(me.user)?;
    app.roster.get(user).await?.ok_or_else(no_such_user)?;
    let change = GroupChange::Put { user, role: put.role };
    Ok(shown(app.change_group(me.user, group, change).await?))
}

/// `DELETE /v1/groups/{id}/members/{user}`
pub(super) async fn remove_member(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    MemberPath { group, user }: MemberPath,
) -> Result<StatusCode, HttpError> {
    app.limits.group_changes.take(me.user)?;
    app.change_group(me.user, group, GroupChange::Remove { user }).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl FromRequestParts<Arc<App>> for MemberPath {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let invalid = |error: &dyn std::fmt::Display| HttpError::invalid(error.to_string());
        let Path((group, user)) = Path::<(String, String)>::from_request_parts(parts, app)
            .await
            .map_err(|rejection| invalid(&rejection.body_text()))?;
        Ok(Self {
            group: group.parse().map_err(|error| invalid(&error))?,
            user: user.parse().map_err(|error| invalid(&error))?,
        })
    }
}

fn no_such_user() -> HttpError {
    HttpError::new(ErrorCode::NotFound, "there is no such user")
}

fn shown(group: store::Group) -> Json<Group> {
    Json(as_members_see_it(group))
}

fn as_members_see_it(group: store::Group) -> Group {
    let members = group.members.into_iter();
    let members = members.map(|Member { user, role, .. }| GroupMember { user, role });
    Group { id: group.id, name: group.name, picture: group.picture, members: members.collect() }
}
