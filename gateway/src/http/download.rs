//! Media on their way out: through here, or by an address that the store has
//! signed.

use std::{ops::Range, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use schemas::{DeviceId, ErrorCode, MediaId};
use store::{
    Media, MediaState, Served,
    objects::{Download, Object, ObjectError, Part},
};

use super::{
    disposition::disposition,
    extract::{Bearer, PathId},
    problem::HttpError,
    range::{Wanted, wanted},
};
use crate::{app::App, session::Identity};

/// How long a signed address is good for.
const SIGNED: Duration = Duration::from_secs(5 * 60);
/// For how long the client that asked may keep it without asking again. Who has
/// left a group may see until then what they had seen.
const KEPT: HeaderValue = HeaderValue::from_static("private, max-age=3600");
/// Less than the address is good for.
const ADDRESS_KEPT: HeaderValue = HeaderValue::from_static("private, max-age=120");
/// A browser is to run nothing of it, take it for nothing else, and give it to
/// no other site's pages.
const LOCKED: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-site"),
    ),
];

/// What is served of media, as their record says.
struct Ready {
    id: MediaId,
    name: String,
    served: Served,
}

/// A file as it is served.
struct File {
    object: Object,
    mime: String,
    disposition: String,
    tag: HeaderValue,
    /// Which device has the media when it has this.
    fetched_by: Option<DeviceId>,
}

/// `GET /v1/media/{id}/content`
pub(super) async fn content(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(id): PathId<MediaId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let file = ready(&app, me, id).await?.content(me.device)?;
    serve(&app, &file, &method, &headers).await
}

/// `GET /v1/media/{id}/thumbnail`
pub(super) async fn thumbnail(
    State(app): State<Arc<App>>,
    Bearer(me): Bearer,
    PathId(id): PathId<MediaId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let file = ready(&app, me, id).await?.thumbnail()?;
    serve(&app, &file, &method, &headers).await
}

/// Media that this user may read, and that there is something to read of.
async fn ready(app: &Arc<App>, me: Identity, id: MediaId) -> Result<Ready, HttpError> {
    app.limits.downloads.take(me.user)?;
    let Media { id, name, state, .. } = app.newest(me.user, id).await?;
    match state {
        MediaState::Ready(served) => Ok(Ready { id, name, served }),
        MediaState::Reserved | MediaState::Uploaded(_) => {
            Err(HttpError::new(ErrorCode::Conflict, "it is still pending: try again soon"))
        }
        MediaState::Rejected { reason } => {
            Err(HttpError::new(ErrorCode::NotFound, format!("it was rejected: {reason}")))
        }
    }
}

async fn serve(
    app: &Arc<App>,
    file: &File,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, HttpError> {
    let download = Download { mime: &file.mime, disposition: &file.disposition };
    // An address is signed for one method, and what `HEAD` asks is known here.
    let signs = method == Method::GET;
    let address = signs.then(|| app.objects.sign_download(file.object, &download, SIGNED));
    if let Some(address) = address.flatten() {
        // Nobody tells what becomes of it.
        if let Some(device) = file.fetched_by {
            app.note_fetch(file.object.media, device);
        }
        let headers = [(header::LOCATION, value(&address)?), (header::CACHE_CONTROL, ADDRESS_KEPT)];
        return Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response());
    }
    let size = app.objects.size(file.object).await?.ok_or(ObjectError::NotFound)?;
    let range = match wanted(headers, size, &file.tag) {
        Wanted::All => None,
        Wanted::Part(range) => Some(range),
        Wanted::Nothing => return Ok((StatusCode::NOT_MODIFIED, file.kept()).into_response()),
        Wanted::Beyond => {
            let refused = HttpError::invalid(format!("it has {size} bytes"));
            let refused = refused.with_status(StatusCode::RANGE_NOT_SATISFIABLE);
            let told = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((told, refused).into_response());
        }
    };
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let (range, body) = match method {
        &Method::HEAD => (range.unwrap_or(0..size), Body::empty()),
        _ => open(app, file, range, size).await?,
    };
    let mut response = (status, LOCKED, file.kept()).into_response();
    let told = response.headers_mut();
    told.insert(header::CONTENT_TYPE, value(&file.mime)?);
    told.insert(header::CONTENT_DISPOSITION, value(&file.disposition)?);
    told.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    told.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, last) = (range.start, range.end - 1);
        told.insert(header::CONTENT_RANGE, value(&format!("bytes {first}-{last}/{size}"))?);
    }
    *response.body_mut() = body;
    Ok(response)
}

/// What is read, and which bytes these are.
async fn open(
    app: &Arc<App>,
    file: &File,
    range: Option<Range<u64>>,
    size: u64,
) -> Result<(Range<u64>, Body), HttpError> {
    let reading = app.objects.read(file.object, range).await?;
    // A gateway that leaves is not held up by who reads slowly; they go on with
    // a range, elsewhere.
    let bytes = reading.bytes.take_until(app.closing.clone().cancelled_owned());
    // Who takes the end of it has, by one request or by several, all of it.
    let body = match file.fetched_by.filter(|_| reading.range.end == size) {
        Some(device) => {
            let length = size - reading.range.start;
            Body::from_stream(app.noting_fetch(file.object.media, device, bytes, length))
        }
        None => Body::from_stream(bytes),
    };
    Ok((reading.range, body))
}

impl Ready {
    fn content(self, fetched_by: DeviceId) -> Result<File, HttpError> {
        let object = Object { media: self.id, part: Part::Content };
        let file = File::new(object, &self.name, self.served.mime, "content")?;
        Ok(File { fetched_by: Some(fetched_by), ..file })
    }

    fn thumbnail(self) -> Result<File, HttpError> {
        let no_thumbnail =
            || HttpError::new(ErrorCode::NotFound, "there is no small picture of it");
        let mime = self.served.thumbnail.ok_or_else(no_thumbnail)?;
        let object = Object { media: self.id, part: Part::Thumbnail };
        File::new(object, &self.name, mime, "thumbnail")
    }
}

impl File {
    fn new(object: Object, name: &str, mime: String, which: &str) -> Result<Self, HttpError> {
        Ok(Self {
            object,
            disposition: disposition(name, &mime),
            mime,
            // What is ready never changes.
            tag: value(&format!("\"{}.{which}\"", object.media))?,
            fetched_by: None,
        })
    }

    fn kept(&self) -> [(HeaderName, HeaderValue); 2] {
        [(header::ETAG, self.tag.clone()), (header::CACHE_CONTROL, KEPT)]
    }
}

/// What is ready was checked before: this does not fail.
fn value(text: &str) -> Result<HeaderValue, HttpError> {
    HeaderValue::from_str(text).map_err(|error| {
        tracing::error!(%error, "no value of a header");
        HttpError::new(ErrorCode::Unavailable, "it cannot be served")
    })
}
