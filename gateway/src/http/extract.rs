//! What handlers take out of a request; what is wrong with it becomes a problem.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{header, request::Parts},
};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use schemas::{ErrorCode, client::Said, limits::CLIENT_FRAME_BYTES};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::HttpError;
use crate::{app::App, session::Identity};

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long, and how much of, a body that is too large is still read.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 8 * 1024 * 1024;
/// Longest text about a body that cannot be read.
const ERROR_CHARS: usize = 200;

/// Who asks, by their bearer token (RFC 6750).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bearer(pub Identity);

/// The bearer token itself, which nobody has looked at.
pub(crate) struct Token(pub String);

/// A body that is also said on the socket, with a `type`.
#[derive(Debug)]
pub(crate) struct SaidBody<T>(pub T);

/// A JSON body. Its media type is not asked for, as on the socket.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub T);

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub T);

/// An id in the path.
#[derive(Debug)]
pub(crate) struct PathId<T>(pub T);

/// The query, as far as `T` names it.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub T);

impl FromRequestParts<Arc<App>> for Bearer {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let (access, _) = app.authenticate(token(parts)?).await?;
        Ok(Self(access.identity))
    }
}

impl FromRequestParts<Arc<App>> for Token {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, HttpError> {
        token(parts).map(str::to_owned).map(Self)
    }
}

fn token(parts: &Parts) -> Result<&str, HttpError> {
    let header = parts.headers.get(header::AUTHORIZATION);
    header
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| HttpError::unauthorized("Authorization: Bearer is missing"))
}

impl<T: Said> FromRequest<Arc<App>> for SaidBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, HttpError> {
        let bytes = read(request.into_body()).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| HttpError::new(ErrorCode::BadFrame, error.to_string()))?;
        Ok(Self(T::parse(text)?))
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, HttpError> {
        parse(&read(request.into_body()).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for OptionalJson<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, HttpError> {
        let bytes = read(request.into_body()).await?;
        if bytes.trim_ascii().is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    // A list would pass for an object with its fields in order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(HttpError::new(ErrorCode::BadFrame, "a body is a JSON object"));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| HttpError::new(code_of(&error), in_short(&error.to_string())))
}

/// An error quotes what it is about, however long.
fn in_short(error: &str) -> String {
    match error.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error.to_owned(),
    }
}

async fn read(body: Body) -> Result<BytesMut, HttpError> {
    let late = || HttpError::new(ErrorCode::BadFrame, "the body did not arrive in time");
    timeout(PATIENCE, read_all(body)).await.unwrap_or_else(|_| Err(late()))
}

async fn read_all(body: Body) -> Result<BytesMut, HttpError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| HttpError::new(ErrorCode::BadFrame, error.to_string()))?;
        if bytes.len() + chunk.len() > CLIENT_FRAME_BYTES {
            linger(&mut chunks).await;
            let limit = format!("a body has at most {CLIENT_FRAME_BYTES} bytes");
            return Err(HttpError::new(ErrorCode::TooLarge, limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads on for a client that does not read an answer before it has sent all.
/// One that sends on, slower or longer than this, is cut off.
pub(crate) async fn linger(chunks: &mut BodyDataStream) {
    let _ = timeout(LINGER, drop_rest(chunks)).await;
}

async fn drop_rest(chunks: &mut BodyDataStream) {
    let mut dropped = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        dropped += chunk.len();
        if dropped > LINGER_BYTES {
            return;
        }
    }
}

/// Types are told from values, as on the socket: the right type with an
/// impossible value is `invalid`.
fn code_of(error: &serde_json::Error) -> ErrorCode {
    // serde tells the two apart in words only.
    const MISTYPED: [&str; 3] = ["invalid type", "missing field", "duplicate field"];
    let text = error.to_string();
    if error.is_data() && !MISTYPED.iter().any(|words| text.starts_with(words)) {
        ErrorCode::Invalid
    } else {
        ErrorCode::BadFrame
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use schemas::http::{Login, PatchMe, PutMember};

    use super::*;

    fn check<T: DeserializeOwned>(json: &str, code: ErrorCode) {
        let error = serde_json::from_str::<T>(json).err().unwrap();
        assert_eq!(code_of(&error), code, "{json}: {error}");
    }

    #[test]
    fn a_mistyped_field_is_told_from_an_impossible_value() {
        for json in [
            "",
            "{",
            "{}",
            r#"{"username":7}"#,
            r#"{"username":"a","password":"b","device":{"id":7}}"#,
            r#"{"username":"a","username":"b"}"#,
            r#"{"username":"a","password":"\ud800"}"#,
            r#"{"username":"a","password":"b","device":[]}"#,
            r#"{"username":"a","password":"b","device":[null,"phone","ios"]}"#,
            r#"{"username":"a","password":"b","device":"d_1"}"#,
        ] {
            check::<Login>(json, ErrorCode::BadFrame);
        }
        let login = r#"{"username":"a","password":"b","device":{"id":"d_1"}}"#;
        check::<Login>(login, ErrorCode::Invalid);
        check::<PatchMe>(r#"{"settings":{"last_seen":"friends"}}"#, ErrorCode::Invalid);
        for settings in
            ["[]", r#"["nobody"]"#, r#"{"last_seen":7}"#, r#"{"last_seen":{"nobody":null}}"#]
        {
            check::<PatchMe>(&format!(r#"{{"settings":{settings}}}"#), ErrorCode::BadFrame);
        }
        check::<PutMember>(r#"{"role":{"admin":null}}"#, ErrorCode::BadFrame);
        check::<PutMember>(r#"{"role":"king"}"#, ErrorCode::Invalid);
        check::<PatchMe>(r#"{"picture":"m_1"}"#, ErrorCode::Invalid);
    }
}
