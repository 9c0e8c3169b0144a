//! The HTTP API.

mod account;
mod admit;
mod disposition;
mod docs;
mod download;
pub(crate) mod extract;
mod groups;
mod inbox;
mod me;
mod media;
mod presence;
pub(crate) mod problem;
mod push;
mod range;
mod upload;
mod users;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    middleware::from_fn_with_state,
    response::IntoResponse as _,
    routing::{get, post, put},
};
use schemas::ErrorCode;

use self::problem::HttpError;
use crate::{app::App, upgrade};

/// All that clients are served.
pub(crate) fn router(app: Arc<App>) -> Router {
    // Health is asked for by machines, often, and costs nothing.
    let health = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(wrong_method);
    let limited = calls().layer(from_fn_with_state(Arc::clone(&app), admit::admit));
    limited.merge(health).with_state(app)
}

fn calls() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/ws", get(upgrade::upgrade))
        .route("/v1/register", post(account::register))
        .route("/v1/login", post(account::login))
        .route("/v1/token", post(account::token))
        .route("/v1/logout", post(account::logout))
        .route("/v1/me", get(me::get).patch(me::patch))
        .route("/v1/me/devices", get(me::devices))
        .route("/v1/me/devices/{id}", axum::routing::delete(me::unlink_device))
        .route("/v1/me/devices/{id}/push", put(push::set).delete(push::clear))
        .route("/v1/me/blocked", get(me::blocked))
        .route("/v1/me/blocked/{user}", put(me::block).delete(me::unblock))
        .route("/v1/users", get(users::list))
        .route("/v1/presence", get(presence::list))
        .route("/v1/groups", get(groups::list).post(groups::create))
        .route("/v1/groups/{id}", get(groups::get).patch(groups::patch))
        .route(
            "/v1/groups/{id}/members/{user}",
            put(groups::put_member).delete(groups::remove_member),
        )
        .route("/v1/media", post(media::reserve))
        .route("/v1/media/{id}", get(media::get))
        .route("/v1/media/{id}/content", get(download::content))
        .route("/v1/media/{id}/thumbnail", get(download::thumbnail))
        .route(
            "/v1/media/{id}/upload",
            put(upload::put).head(upload::head).patch(upload::patch).options(upload::options),
        )
        .route("/v1/messages", post(inbox::send))
        .route("/v1/inbox", get(inbox::poll))
        .route("/v1/inbox/ack", post(inbox::ack))
        .route("/v1/read", post(inbox::read))
        .route("/v1/push/vapid", get(push::vapid))
        .route("/openapi.json", get(docs::openapi))
        .route("/asyncapi.json", get(docs::asyncapi))
        .route("/docs", get(docs::page))
        .fallback(async || HttpError::new(ErrorCode::NotFound, "there is no such path"))
        .method_not_allowed_fallback(wrong_method)
}

async fn wrong_method() -> HttpError {
    HttpError::invalid("this path does not take this method")
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// `GET /readyz`: whether a load balancer should send clients here.
async fn ready(State(app): State<Arc<App>>) -> axum::response::Response {
    if app.is_ready() {
        "ready\n".into_response()
    } else {
        HttpError::new(ErrorCode::Unavailable, "not ready, or going away").into_response()
    }
}
