//! Who is online, and when who is not was last seen.

use std::{collections::HashSet, sync::Arc};

use axum::{Json, extract::State};
use schemas::{http::List, server::Presence};
use serde::Deserialize;

use super::{
    extract::{Bearer, QueryOf},
    problem::HttpError,
    users::parse_ids,
};
use crate::{app::App, session::Refusal};

/// Whose.
#[derive(Debug, Deserialize)]
pub(super) struct Whose {
    ids: Option<String>,
}

/// `GET /v1/presence?ids=…`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    QueryOf(whose): QueryOf<Whose>,
) -> Result<Json<List<Presence>>, HttpError> {
    app.limits.lookups.take(me.user)?;
    let ids = whose.ids.ok_or_else(|| HttpError::invalid("give ids"))?;
    let mut users = parse_ids(&ids)?;
    let mut seen = HashSet::with_capacity(users.len());
    users.retain(|user| seen.insert(*user));
    let items = app.watching.look(me.user, &users).await.map_err(Refusal::from)?;
    Ok(Json(List { items }))
}
