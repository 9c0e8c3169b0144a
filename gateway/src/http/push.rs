//! How a device is woken while it is not connected.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use schemas::{
    DeviceId, ErrorCode, PushTarget,
    http::VapidKey,
    push::{APNS_TOKEN_MAX, APNS_TOPIC_MAX, FCM_TOKEN_MAX, check_endpoint},
};
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
    check(&target, app.config.push_allow_loopback)?;
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
    user: schemas::UserId,
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

/// What can be said of a target without asking anybody.
fn check(target: &PushTarget, allow_loopback: bool) -> Result<(), HttpError> {
    match target {
        PushTarget::Webpush { endpoint, keys } => {
            check_endpoint(endpoint, allow_loopback)
                .map_err(|error| HttpError::invalid(error.to_string()))?;
            if keys.bytes().is_none_or(|(point, _)| point[0] != UNCOMPRESSED) {
                return Err(HttpError::invalid(
                    "keys: p256dh is 65 bytes and auth is 16 bytes, in base64url",
                ));
            }
        }
        PushTarget::Fcm { token } => {
            if !is_token(token, FCM_TOKEN_MAX) {
                return Err(HttpError::invalid("token: 1 to 4,096 visible ASCII characters"));
            }
        }
        PushTarget::Apns { token, topic } => {
            let is_hex = token.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_hex || !is_token(token, APNS_TOKEN_MAX) {
                return Err(HttpError::invalid("token: 1 to 200 hexadecimal digits"));
            }
            if !is_token(topic, APNS_TOPIC_MAX) {
                return Err(HttpError::invalid("topic: the app's bundle id, up to 155 characters"));
            }
        }
    }
    Ok(())
}

/// What a point that is written out begins with (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// It becomes a part of a request's path or a header.
fn is_token(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
