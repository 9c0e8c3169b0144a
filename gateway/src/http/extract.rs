//! What handlers take out of a request; what is wrong with it becomes a problem.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, header, request::Parts},
};
use schemas::ErrorCode;
use serde::de::DeserializeOwned;

use super::problem::HttpError;
use crate::{app::App, session::Identity};

/// Who asks, by their bearer token (RFC 6750).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bearer(pub Identity);

/// A JSON body. Its media type is not asked for, as on the socket.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub T);

/// An id in the path.
#[derive(Debug)]
pub(crate) struct PathId<T>(pub T);

/// The query, as far as `T` names it.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub T);

impl FromRequestParts<Arc<App>> for Bearer {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let header = parts.headers.get(header::AUTHORIZATION);
        let token = header
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| HttpError::unauthorized("Authorization: Bearer is missing"))?;
        let (access, _) = app.authenticate(token).await?;
        Ok(Self(access.identity))
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, HttpError> {
        let bytes = Bytes::from_request(request, app).await.map_err(|rejection| {
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
                _ => ErrorCode::BadFrame,
            };
            HttpError::new(code, rejection.body_text())
        })?;
        // A list would pass for an object with its fields in order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(HttpError::new(ErrorCode::BadFrame, "a body is a JSON object"));
        }
        match serde_json::from_slice(&bytes) {
            Ok(body) => Ok(Self(body)),
            Err(error) => Err(HttpError::new(ErrorCode::BadFrame, error.to_string())),
        }
    }
}

impl<T: std::str::FromStr<Err = schemas::id::ParseIdError> + Send> FromRequestParts<Arc<App>>
    for PathId<T>
{
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let Path(text) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|rejection| HttpError::invalid(rejection.body_text()))?;
        text.parse().map(Self).map_err(|error| HttpError::invalid(error.to_string()))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for QueryOf<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let Query(query) = Query::from_request_parts(parts, app)
            .await
            .map_err(|rejection| HttpError::invalid(rejection.body_text()))?;
        Ok(Self(query))
    }
}
