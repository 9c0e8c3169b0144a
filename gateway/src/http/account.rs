//! Registering, logging in, renewing tokens, logging out.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use schemas::{
    DeviceId, ErrorCode, Micros, UserId,
    http::{Login, LoginDevice, Refresh, Register, Session},
    limits::{ACCESS_TOKEN, NAME_CHARS, PASSWORD_BYTES},
};
use store::{NewDevice, NewUser, RefreshClaim, Rotation, User, Username};

use super::{
    extract::{Bearer, JsonBody},
    problem::HttpError,
};
use crate::{address::Address, app::App, limits::Door, session::Identity};

/// `POST /v1/register`
pub(super) async fn register(
    State(app): State<Arc<App>>,
    from: Address,
    JsonBody(request): JsonBody<Register>,
) -> Result<(StatusCode, Json<Session>), HttpError> {
    let username = parse_username(&request.username)?;
    let name = check_name(request.name)?;
    let phone = request.phone.map(check_phone).transpose()?;
    let (shortest, length) = (app.config.password_min, request.password.len());
    if length < shortest || length > PASSWORD_BYTES {
        let range = format!("a password has {shortest} to {PASSWORD_BYTES} bytes");
        return Err(HttpError::invalid(range));
    }
    let device = request.device.unwrap_or_default();
    if device.id.is_some() {
        return Err(HttpError::invalid("a new user has no device yet: leave device.id out"));
    }
    let device = new_device(device)?;
    // What cannot be registered costs nothing, so it does not count.
    app.limits.registrations_from.take(from)?;
    let password_hash = app.passwords.hash(request.password).await?;
    let new = NewUser { username, name, phone, password_hash, device };
    let user = app.directory.create_user(new).await?;
    let device = user
        .devices
        .first()
        .ok_or_else(|| HttpError::new(ErrorCode::Unavailable, "the directory made no device"))?;
    let me = Identity { user: user.id, device: device.id };
    Ok((StatusCode::CREATED, session(&app, me, device.tokens.newest())?))
}

/// `POST /v1/login`
pub(super) async fn login(
    State(app): State<Arc<App>>,
    from: Address,
    JsonBody(request): JsonBody<Login>,
) -> Result<Json<Session>, HttpError> {
    app.limits.logins_from.take(from)?;
    let device = request.device.unwrap_or_default();
    let (username, password) = (request.username, request.password);
    let user = check_password(&app, from, username, password, device.id).await?;
    let device = match device.id {
        Some(id) => app.directory.renew_family(user.id, id).await?,
        None => app.directory.link_device(user.id, new_device(device)?).await?,
    };
    let good = device.tokens.newest();
    app.revoke(user.id, device.id, Some(good.family)).await;
    app.take_effect(user.id).await;
    let me = Identity { user: user.id, device: device.id };
    session(&app, me, good)
}

/// The user of that name, if the password is theirs. How many wrong ones there
/// were decides alone whether it is looked at now, and so does not tell.
async fn check_password(
    app: &App,
    from: Address,
    username: String,
    password: String,
    device: Option<DeviceId>,
) -> Result<User, HttpError> {
    let refused = || HttpError::unauthorized("wrong username or password");
    let username = username.parse::<Username>();
    // A name that cannot be registered is as unknown as any other.
    let user = match &username {
        Ok(username) => app.directory.user_by_username(username).await?,
        Err(_) => None,
    };
    let is_linked = |id: &DeviceId| user.iter().flat_map(|user| &user.devices).any(|d| d.id == *id);
    let door = match (device.filter(is_linked), username) {
        (Some(device), _) => Door::Device(device),
        (None, Ok(username)) => Door::of(&username),
        (None, Err(_)) => Door::Nobodys,
    };
    let attempt = app.limits.logins.attempt(from, door)?;
    if password.len() > PASSWORD_BYTES {
        return Err(refused());
    }
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    match app.passwords.verify(password, hash).await {
        Ok(true) => attempt.succeeded(),
        Ok(false) => return Err(refused()),
        Err(error) => {
            attempt.take_back();
            return Err(error.into());
        }
    }
    user.ok_or_else(refused)
}

/// `POST /v1/token`
pub(super) async fn token(
    State(app): State<Arc<App>>,
    from: Address,
    JsonBody(request): JsonBody<Refresh>,
) -> Result<Json<Session>, HttpError> {
    app.limits.renewals_from.take(from)?;
    let refused = || HttpError::unauthorized("the refresh token is not valid, or not any more");
    let refresh = app.tokens.check_refresh(&request.refresh_token).map_err(|_| refused())?;
    let me = refresh.identity;
    app.limits.renewals.take(me.user)?;
    let now = Micros::now();
    match app.directory.rotate_token(me.user, me.device, refresh.claim, now).await? {
        Rotation::Issued(claim) => session(&app, me, claim),
        Rotation::Revoked => {
            tracing::warn!(user = %me.user, device = %me.device, "refresh token reused, revoked");
            app.revoke(me.user, me.device, None).await;
            app.take_effect(me.user).await;
            Err(refused())
        }
        Rotation::Refused => Err(refused()),
    }
}

/// `POST /v1/logout`
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
) -> Result<StatusCode, HttpError> {
    unlink(&app, me.user, me.device).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Unlinks a device; whether there was such a device.
pub(super) async fn unlink(
    app: &Arc<App>,
    user: UserId,
    device: DeviceId,
) -> Result<bool, HttpError> {
    let was_linked = app.directory.unlink_device(user, device).await?;
    if was_linked {
        app.drop_device(user, device).await;
        app.take_effect(user).await;
    }
    Ok(was_linked)
}

/// A display name as it is stored.
pub(super) fn check_name(name: String) -> Result<String, HttpError> {
    let name = name.trim();
    if !(1..=NAME_CHARS).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(HttpError::invalid(format!("a name has 1 to {NAME_CHARS} characters")));
    }
    Ok(name.to_owned())
}

/// A phone number in E.164: `+` and 5 to 15 digits.
pub(super) fn check_phone(phone: String) -> Result<String, HttpError> {
    let digits = phone.strip_prefix('+').unwrap_or_default();
    if !(5..=15).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(HttpError::invalid("a phone number is + and 5 to 15 digits (E.164)"));
    }
    Ok(phone)
}

/// A username from outside.
pub(super) fn parse_username(text: &str) -> Result<Username, HttpError> {
    text.parse().map_err(|error: store::ParseUsernameError| HttpError::invalid(error.to_string()))
}

fn new_device(device: LoginDevice) -> Result<NewDevice, HttpError> {
    let check = |text: Option<String>| text.map(check_name).transpose();
    Ok(NewDevice { name: check(device.name)?, platform: check(device.platform)? })
}

fn session(app: &App, me: Identity, claim: RefreshClaim) -> Result<Json<Session>, HttpError> {
    let now = Micros::now();
    Ok(Json(Session {
        user: me.user,
        device: me.device,
        access_token: app.tokens.access(me, claim.family, now)?,
        expires_in: ACCESS_TOKEN.as_secs(),
        refresh_token: app.tokens.refresh(me, claim, now)?,
    }))
}
