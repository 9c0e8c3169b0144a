//! Other people's public profiles, in bulk.

use std::sync::Arc;

use axum::{Json, extract::State};
use schemas::{
    UserId,
    http::{List, Profile},
    limits::BULK_IDS,
};
use serde::Deserialize;
use store::User;

use super::{
    account::parse_username,
    extract::{Bearer, QueryOf},
    problem::HttpError,
};
use crate::app::App;

/// Which users: by id, or by name.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    ids: Option<String>,
    username: Option<String>,
}

/// `GET /v1/users?ids=…` or `?username=…`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    QueryOf(which): QueryOf<Which>,
) -> Result<Json<List<Profile>>, HttpError> {
    app.limits.lookups.take(me.user)?;
    let users = match (which.ids, which.username) {
        (Some(ids), None) => app.directory.users(&parse_ids(&ids)?).await?,
        (None, Some(username)) => {
            let username = parse_username(&username)?;
            app.directory.user_by_username(&username).await?.into_iter().collect()
        }
        _ => return Err(HttpError::invalid("give either ids or username")),
    };
    Ok(Json(List { items: users.into_iter().map(profile).collect() }))
}

/// Reads a comma-separated list of at most [`BULK_IDS`].
pub(super) fn parse_ids(ids: &str) -> Result<Vec<UserId>, HttpError> {
    let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
    let ids: Vec<UserId> = ids
        .map(|id| id.parse().map_err(|error| HttpError::invalid(format!("ids: {error}"))))
        .take(BULK_IDS + 1)
        .collect::<Result<_, _>>()?;
    if ids.len() > BULK_IDS {
        return Err(HttpError::invalid(format!("ids: at most {BULK_IDS}")));
    }
    Ok(ids)
}

fn profile(user: User) -> Profile {
    Profile {
        id: user.id,
        username: user.username.to_string(),
        name: user.name,
        picture: user.picture,
    }
}
