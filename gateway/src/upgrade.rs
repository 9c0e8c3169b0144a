//! From an HTTP request to a WebSocket (RFC 6455 §4.2).
//!
//! The handshake is done here and not by axum's extractor because a session
//! wants the TCP stream itself: it writes frames from the buffer they were
//! encoded in, keeps its buffers small, and lingers after a close, so that a
//! client that is still sending gets to read why.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response::IntoResponse as _,
};
use hyper_util::rt::TokioIo;
use schemas::{ErrorCode, publish::SUBPROTOCOL};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{address::Address, app::App, http::problem::HttpError, socket};

/// `GET /v1/ws`
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    from: Address,
    mut request: Request,
) -> Response<Body> {
    if app.draining.is_cancelled() {
        return HttpError::new(ErrorCode::Unavailable, "this gateway is going away")
            .into_response();
    }
    let accept = match accept_key(request.headers()) {
        Ok(accept) => accept,
        Err(why) => return upgrade_required(why),
    };
    if let Err(refusal) = app.limits.connects_from.take(from) {
        return HttpError::from(refusal).into_response();
    }
    let offers_v1 = tokens(request.headers(), header::SEC_WEBSOCKET_PROTOCOL)
        .any(|protocol| protocol == SUBPROTOCOL);
    let upgraded = hyper::upgrade::on(&mut request);
    let tasks = app.tasks.clone();
    tasks.spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => socket::serve(app, parts.io.into_inner(), parts.read_buf).await,
            Err(_) => tracing::error!("the upgraded connection is no TCP stream"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if offers_v1 {
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    if !tokens(headers, header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        || !tokens(headers, header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
    {
        return Err("this is a WebSocket: send Connection: upgrade and Upgrade: websocket");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err("Sec-WebSocket-Version must be 13");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or("Sec-WebSocket-Key is missing")?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| "bad Sec-WebSocket-Key")
}

/// The comma-separated words of a header that may come several times.
fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn upgrade_required(why: &'static str) -> Response<Body> {
    let mut response = HttpError::new(ErrorCode::Invalid, why)
        .with_status(StatusCode::UPGRADE_REQUIRED)
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}
