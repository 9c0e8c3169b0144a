//! How a device is woken while it is not connected.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use schemas::{DeviceId, ErrorCode, PushTarget, UserId, http::VapidKey};
use store::DirectoryError;

use super::{
    extract::{Bearer, JsonBody, PathId},
    problem::HttpError,
};
use crate::app::App;

/// `PUT /v1/me/devices/{id}/push`
pub(super) async fn set(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(device): PathId<DeviceId>,
    JsonBody(target): JsonBody<PushTarget>,
) -> Result<StatusCode, HttpError> {
    app.limits.changes.take(me.user)?;
    let checked = target.check(app.config.push_allow_loopback);
    checked.map_err(|error| HttpError::invalid(error.to_string()))?;
    store(&app, me.user, device, Some(target)).await
}

/// `DELETE /v1/me/devices/{id}/push`
pub(super) async fn clear(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(device): PathId<DeviceId>,
) -> Result<StatusCode, HttpError> {
    app.limits.changes.take(me.user)?;
    store(&app, me.user, device, None).await
}

/// `GET /v1/push/vapid`
pub(super) async fn vapid(State(app): State<Arc<App>>) -> Result<Json<VapidKey>, HttpError> {
    match app.push.vapid().await {
        Ok(Some(public_key)) => Ok(Json(VapidKey { public_key })),
        Ok(None) => Err(HttpError::new(ErrorCode::NotFound, "web push is not set up here")),
        Err(error) => {
            tracing::warn!(%error, "the key of web push cannot be read");
            Err(HttpError::new(ErrorCode::Unavailable, "try again"))
        }
    }
}

async fn store(
    app: &App,
    user: UserId,
    device: DeviceId,
    target: Option<PushTarget>,
) -> Result<StatusCode, HttpError> {
    match app.directory.set_push(user, device, target).await {
        Ok(()) => {}
        Err(DirectoryError::NotFound(_)) => {
            return Err(HttpError::new(ErrorCode::NotFound, "there is no such device"));
        }
        Err(error) => return Err(error.into()),
    }
    app.changed(user).await;
    Ok(StatusCode::NO_CONTENT)
}
