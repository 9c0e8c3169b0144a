//! The bytes of an upload: all at once, or in pieces by tus 1.0.0
//! (<https://tus.io/protocols/resumable-upload>), of which this is the core;
//! uploads are created by `POST /v1/media`.
//!
//! Whoever knows the address may send: it carries a secret, as one does that a
//! store has signed.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use schemas::{ErrorCode, MediaId};
use serde::Deserialize;
use store::{Media, objects::Begin};

use super::{
    extract::{PathId, QueryOf, linger},
    problem::HttpError,
};
use crate::{
    app::App,
    media::{Piece, essence},
};

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const PIECE: &str = "application/offset+octet-stream";

/// An upload whose address is known to who asks.
pub(super) struct Addressed(Media);

/// An answer as tus has it.
pub(super) struct Tus<T>(T);

#[derive(Debug, Deserialize)]
struct AddressQuery {
    token: Option<String>,
}

/// `PUT /v1/media/{id}/upload`
pub(super) async fn put(
    State(app): State<Arc<App>>,
    addressed: Result<Addressed, HttpError>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HttpError> {
    let checked = addressed.and_then(|Addressed(media)| check_put(media, &headers));
    let (media, body) = heard(checked, body).await?;
    let size = media.size;
    let next = app.take(Piece { media, begin: Begin::Anew, body }).await?;
    if next < size {
        let why = format!("{next} of {size} bytes came: go on behind them, or begin anew");
        return Err(HttpError::invalid(why));
    }
    Ok(StatusCode::NO_CONTENT)
}

fn check_put(media: Media, headers: &HeaderMap) -> Result<Media, HttpError> {
    let mime = headers.get(header::CONTENT_TYPE).and_then(|mime| essence(mime.to_str().ok()?));
    if mime.as_ref() != Some(&media.mime) {
        return Err(HttpError::invalid(format!("Content-Type has to be {}", media.mime)));
    }
    let size = media.size;
    if number(headers, header::CONTENT_LENGTH).is_some_and(|length| length != size) {
        return Err(HttpError::invalid(format!("Content-Length has to be {size}")));
    }
    Ok(media)
}

/// `HEAD /v1/media/{id}/upload`
pub(super) async fn head(
    State(app): State<Arc<App>>,
    addressed: Result<Addressed, HttpError>,
    headers: HeaderMap,
) -> Tus<Result<Response, HttpError>> {
    let answer = async {
        let Addressed(media) = addressed?;
        check_version(&headers)?;
        let offset = app.offset(&media).await?;
        let told = [(UPLOAD_OFFSET, offset.into()), (UPLOAD_LENGTH, media.size.into())];
        Ok((StatusCode::NO_CONTENT, headers_of(told)).into_response())
    };
    Tus(answer.await)
}

/// `PATCH /v1/media/{id}/upload`
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    addressed: Result<Addressed, HttpError>,
    headers: HeaderMap,
    body: Body,
) -> Tus<Result<Response, HttpError>> {
    let answer = async {
        let checked = addressed.and_then(|Addressed(media)| check_patch(media, &headers));
        let ((media, offset), body) = heard(checked, body).await?;
        let next = app.take(Piece { media, begin: Begin::At(offset), body }).await?;
        let told = [(UPLOAD_OFFSET, next.into())];
        Ok((StatusCode::NO_CONTENT, headers_of(told)).into_response())
    };
    Tus(answer.await)
}

fn check_patch(media: Media, headers: &HeaderMap) -> Result<(Media, u64), HttpError> {
    check_version(headers)?;
    let is_piece = headers.get(header::CONTENT_TYPE).is_some_and(|mime| mime == PIECE);
    if !is_piece {
        let refused = HttpError::invalid(format!("Content-Type has to be {PIECE}"));
        return Err(refused.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let offset = number(headers, UPLOAD_OFFSET)
        .ok_or_else(|| HttpError::invalid("Upload-Offset says where the bytes begin"))?;
    let length = number(headers, header::CONTENT_LENGTH).unwrap_or_default();
    if offset.saturating_add(length) > media.size {
        let why = format!("the upload was announced with {} bytes", media.size);
        return Err(HttpError::new(ErrorCode::TooLarge, why));
    }
    Ok((media, offset))
}

/// `OPTIONS /v1/media/{id}/upload`
pub(super) async fn options(
    State(app): State<Arc<App>>,
    PathId(_): PathId<MediaId>,
) -> impl IntoResponse {
    let most = app.config.media.media_max_bytes.into();
    let told = [(TUS_RESUMABLE, VERSION), (TUS_VERSION, VERSION), (TUS_MAX_SIZE, most)];
    (StatusCode::NO_CONTENT, headers_of(told))
}

impl FromRequestParts<Arc<App>> for Addressed {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let PathId(id) = PathId::<MediaId>::from_request_parts(parts, app).await?;
        let QueryOf(query) = QueryOf::<AddressQuery>::from_request_parts(parts, app).await?;
        let owner = app.tokens.check_upload(&query.token.unwrap_or_default(), id);
        let owner = owner.map_err(|_| {
            HttpError::new(
                ErrorCode::Forbidden,
                "the address of the upload is not good, or not any more",
            )
        })?;
        app.limits.pieces.take(owner)?;
        Ok(Self(app.upload(id).await?))
    }
}

impl<T: IntoResponse> IntoResponse for Tus<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        // Who speaks another version is told which one is spoken.
        let is_other_version = response.status() == StatusCode::PRECONDITION_FAILED;
        let headers = response.headers_mut();
        headers.insert(TUS_RESUMABLE, VERSION);
        if is_other_version {
            headers.insert(TUS_VERSION, VERSION);
        }
        response
    }
}

/// What was checked, with the body that is to be taken; who is refused is heard
/// out a little.
async fn heard<T>(checked: Result<T, HttpError>, body: Body) -> Result<(T, Body), HttpError> {
    match checked {
        Ok(checked) => Ok((checked, body)),
        Err(error) => {
            linger(&mut body.into_data_stream()).await;
            Err(error)
        }
    }
}

fn check_version(headers: &HeaderMap) -> Result<(), HttpError> {
    if headers.get(TUS_RESUMABLE) == Some(&VERSION) {
        return Ok(());
    }
    let refused = HttpError::invalid("Tus-Resumable has to be 1.0.0");
    Err(refused.with_status(StatusCode::PRECONDITION_FAILED))
}

fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn headers_of<const N: usize>(headers: [(HeaderName, HeaderValue); N]) -> HeaderMap {
    headers.into_iter().collect()
}
