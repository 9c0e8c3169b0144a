//! The user who asks: profile, settings, devices, blocked users.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use schemas::{
    DeviceId, ErrorCode, UserId,
    event::Notice,
    http::{Device, List, Me, PatchMe},
};
use store::{Audience, User};

use super::{
    account::{check_name, check_phone, unlink},
    extract::{Bearer, JsonBody, PathId},
    problem::HttpError,
};
use crate::app::App;

/// `GET /v1/me`
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
) -> Result<Json<Me>, HttpError> {
    app.limits.lookups.take(me.user)?;
    user(&app, me.user).await.map(shown)
}

/// `PATCH /v1/me`
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    JsonBody(mut patch): JsonBody<PatchMe>,
) -> Result<Json<Me>, HttpError> {
    app.limits.changes.take(me.user)?;
    patch.name = patch.name.map(check_name).transpose()?;
    if let Some(Some(phone)) = patch.phone {
        patch.phone = Some(Some(check_phone(phone)?));
    }
    if let Some(Some(picture)) = patch.picture {
        app.show(me.user, picture, Audience::User(me.user)).await?;
    }
    let read_receipts = patch.settings.and_then(|settings| settings.read_receipts);
    let user = app.directory.update_user(me.user, &patch.into()).await?;
    app.changed(me.user).await;
    if let Some(on) = read_receipts {
        app.notify(me.user, &Notice::ReadReceipts { on }).await;
    }
    app.take_effect(me.user).await;
    Ok(shown(user))
}

/// `GET /v1/me/devices`
pub(super) async fn devices(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
) -> Result<Json<List<Device>>, HttpError> {
    app.limits.lookups.take(me.user)?;
    let user = user(&app, me.user).await?;
    let items = user.devices.into_iter().map(|device| Device {
        id: device.id,
        name: device.name,
        platform: device.platform,
        linked: device.linked,
        current: device.id == me.device,
    });
    Ok(Json(List { items: items.collect() }))
}

/// `DELETE /v1/me/devices/{id}`
pub(super) async fn unlink_device(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(device): PathId<DeviceId>,
) -> Result<StatusCode, HttpError> {
    app.limits.changes.take(me.user)?;
    if unlink(&app, me.user, device).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(HttpError::new(ErrorCode::NotFound, "there is no such device"))
    }
}

/// `GET /v1/me/blocked`
pub(super) async fn blocked(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
) -> Result<Json<List<UserId>>, HttpError> {
    app.limits.lookups.take(me.user)?;
    Ok(Json(List { items: app.directory.blocked(me.user).await? }))
}

/// `PUT /v1/me/blocked/{user}`
pub(super) async fn block(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(other): PathId<UserId>,
) -> Result<StatusCode, HttpError> {
    app.limits.changes.take(me.user)?;
    if other == me.user {
        return Err(HttpError::invalid("nobody blocks themself"));
    }
    user(&app, other).await?;
    app.directory.block(me.user, other).await?;
    app.changed(me.user).await;
    app.take_effect(me.user).await;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/me/blocked/{user}`
pub(super) async fn unblock(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(other): PathId<UserId>,
) -> Result<StatusCode, HttpError> {
    app.limits.changes.take(me.user)?;
    app.directory.unblock(me.user, other).await?;
    app.changed(me.user).await;
    app.take_effect(me.user).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn user(app: &App, id: UserId) -> Result<User, HttpError> {
    let user = app.directory.user_fresh(id).await?;
    user.ok_or_else(|| HttpError::new(ErrorCode::NotFound, "there is no such user"))
}

fn shown(user: User) -> Json<Me> {
    Json(Me {
        id: user.id,
        username: user.username.to_string(),
        name: user.name,
        picture: user.picture,
        phone: user.phone,
        settings: user.settings,
    })
}
