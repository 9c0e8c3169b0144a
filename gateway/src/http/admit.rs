//! What every call has around it: who asks, whether it is too often, and that
//! nobody keeps the answer on its way.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use schemas::ErrorCode;

use super::problem::HttpError;
use crate::{address::Address, app::App};

/// Lets a request in, and remembers for its handler who sent it.
pub(super) async fn admit(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let client = app.config.proxies.client(peer.ip(), request.headers());
    let address = Address::of(client);
    if let Err(refusal) = app.limits.requests_from.take(address) {
        return HttpError::from(refusal).into_response();
    }
    request.extensions_mut().insert(address);
    let is_personal = request.uri().path().starts_with("/v1/");
    let mut response = next.run(request).await;
    if is_personal {
        // Tokens, messages and what people say of themselves; a download says by
        // itself how long it may be kept.
        let headers = response.headers_mut();
        let no_store = || HeaderValue::from_static("no-store");
        headers.entry(header::CACHE_CONTROL).or_insert_with(no_store);
    }
    response
}

impl FromRequestParts<Arc<App>> for Address {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, HttpError> {
        let address = parts.extensions.get().copied();
        // Every call that asks for it is behind `admit`.
        address.ok_or_else(|| HttpError::new(ErrorCode::Unavailable, "it is not known who asks"))
    }
}
