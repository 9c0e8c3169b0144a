//! Uploads: reserved, and what has become of them.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, State},
    http::{StatusCode, request::Parts},
};
use schemas::{
    MediaId,
    http::{MediaInfo, NewMedia, Reservation},
};

use super::{
    extract::{Bearer, JsonBody, PathId},
    problem::HttpError,
};
use crate::app::App;

/// Where clients find the gateways, without a slash at the end.
pub(super) struct Base(String);

/// `POST /v1/media`
pub(super) async fn reserve(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    Base(base): Base,
    JsonBody(new): JsonBody<NewMedia>,
) -> Result<(StatusCode, Json<Reservation>), HttpError> {
    app.limits.uploads.take(me.user)?;
    let reservation = app.reserve_media(me, new, &base).await?;
    Ok((StatusCode::CREATED, Json(reservation)))
}

/// `GET /v1/media/{id}`
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(id): PathId<MediaId>,
) -> Result<Json<MediaInfo>, HttpError> {
    app.limits.lookups.take(me.user)?;
    let media = app.newest(me.user, id).await?;
    Ok(Json(app.shown(media)))
}

impl FromRequestParts<Arc<App>> for Base {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        if let Some(base) = &app.config.media.public_url {
            return Ok(Self(base.trim_end_matches('/').to_owned()));
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let origin = peer.and_then(|peer| app.config.proxies.origin(peer.0.ip(), &parts.headers));
        // Who names no host is told a path.
        Ok(Self(origin.unwrap_or_default()))
    }
}
