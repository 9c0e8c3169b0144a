//! Somebody with files.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use schemas::{
    MediaId,
    body::{Body, Event},
    http::{NewMedia, Reservation},
    server,
};

use super::contents::{Contents, Outgoing};
use crate::{
    client::{Api, Socket},
    load::{check::Faults, latency::Latency, people::Person, wire},
};

/// What the files are: anything.
const MIME: &str = "application/octet-stream";
/// The type of a piece (tus 1.0.0).
const PIECE: &str = "application/offset+octet-stream";
/// Longest wait until a worker has looked at an upload, and a second more for
/// each MiB, which may be on its way meanwhile.
const SILENCE: Duration = Duration::from_secs(60);

/// Somebody with files.
pub(super) struct Owner {
    pub(super) n: usize,
    pub(super) api: Api,
    /// For the bytes, which may take longer than a call.
    pub(super) http: reqwest::Client,
    pub(super) person: Person,
    pub(super) files: Vec<Contents>,
    /// Bytes of a piece; none: all of a file in one request.
    pub(super) piece: Option<u64>,
}

/// How long things took for all owners.
pub(super) struct Times {
    /// From the reservation to the answer that all of it has come.
    pub(super) upload: Latency,
    /// From that answer until the owner was told that it is ready.
    pub(super) ready: Latency,
    /// From the request to the last byte.
    pub(super) download: Latency,
}

/// What became of the uploads of somebody.
pub(super) struct Uploaded {
    pub(super) owner: Owner,
    /// When the last of them had come.
    pub(super) last: Instant,
    media: Vec<(MediaId, Contents)>,
    pub(super) faults: Faults,
}

impl Owner {
    /// Uploads all files, and listens until all were looked at.
    ///
    /// # Errors
    /// When one is refused, or nothing is heard of one.
    pub(super) async fn upload(
        self,
        mut socket: Socket,
        times: &Times,
    ) -> anyhow::Result<Uploaded> {
        let (come, found) =
            tokio::try_join!(self.send_all(times), self.listen(&mut socket, self.files.len()))?;
        // It is over: how the socket ends does not matter.
        let _ = socket.close().await;
        let mut uploaded = Uploaded {
            owner: self,
            last: Instant::now(),
            media: Vec::new(),
            faults: Faults::default(),
        };
        uploaded.last = come.iter().map(|(_, _, at)| *at).max().unwrap_or(uploaded.last);
        for (id, contents, at) in come {
            match found.get(&id) {
                Some(Some(ready)) => {
                    times.ready.record(uploaded.owner.n, ready.saturating_duration_since(at));
                    uploaded.media.push((id, contents));
                }
                Some(None) => uploaded.faults.refused("media.rejected"),
                None => uploaded.faults.lost += 1,
            }
        }
        Ok(uploaded)
    }

    /// One after the other; when each had come.
    async fn send_all(&self, times: &Times) -> anyhow::Result<Vec<(MediaId, Contents, Instant)>> {
        let mut come = Vec::with_capacity(self.files.len());
        for contents in &self.files {
            let started = Instant::now();
            let id = self.send(*contents).await.context("an upload failed")?;
            let at = Instant::now();
            times.upload.record(self.n, at - started);
            come.push((id, *contents, at));
        }
        Ok(come)
    }

    async fn send(&self, contents: Contents) -> anyhow::Result<MediaId> {
        let size = contents.size;
        let new = NewMedia { name: "load.bin".into(), mime: MIME.into(), size, sha256: None };
        let token = Some(&*self.person.token);
        let reserved: Reservation =
            self.api.call(Method::POST, "v1/media", token, Some(&new)).await?;
        let Some(piece) = self.piece else {
            let put = self.http.put(&reserved.upload.url);
            let headers = reserved.upload.headers.iter();
            let put = headers.fold(put, |put, (name, value)| put.header(name, value));
            answered(put, contents.part(0, size)).await?;
            return Ok(reserved.id);
        };
        let mut next = 0;
        while next < size {
            let end = size.min(next.saturating_add(piece));
            let patch = self.http.patch(&reserved.resumable).header("tus-resumable", "1.0.0");
            let patch = patch.header("content-type", PIECE).header("upload-offset", next);
            answered(patch, contents.part(next, end)).await?;
            next = end;
        }
        Ok(reserved.id)
    }

    /// When each upload was found to be ready; none where it is rejected.
    async fn listen(
        &self,
        socket: &mut Socket,
        count: usize,
    ) -> anyhow::Result<HashMap<MediaId, Option<Instant>>> {
        let size = self.files.iter().map(|contents| contents.size).max().unwrap_or_default();
        let within = SILENCE + Duration::from_secs(size >> 20);
        let mut found = HashMap::with_capacity(count);
        while found.len() < count {
            let frame = socket.frame(within).await.context("nothing is heard of an upload")?;
            let server::Frame::Messages { items } = frame else { continue };
            let now = Instant::now();
            for item in &items {
                match item.body.typed()? {
                    Body::Event(Event::MediaReady { media, .. }) => found.insert(media, Some(now)),
                    Body::Event(Event::MediaRejected { media, .. }) => found.insert(media, None),
                    _ => None,
                };
            }
            let last = items.last().map(|item| item.seq).unwrap_or_default();
            socket.send_text(wire::ack(last)).await?;
        }
        Ok(found)
    }
}

impl Uploaded {
    /// Files that are ready.
    pub(super) fn count(&self) -> u64 {
        self.media.len() as u64
    }

    /// Downloads what was uploaded, and compares every byte.
    ///
    /// # Errors
    /// When a download is refused or breaks off.
    pub(super) async fn download(self, times: &Times) -> anyhow::Result<Faults> {
        let Self { owner, mut faults, media, .. } = self;
        for (id, contents) in media {
            let started = Instant::now();
            let url = owner.api.base().join(&format!("v1/media/{id}/content"))?;
            let request = owner.http.get(url).bearer_auth(&owner.person.token);
            let mut answer = request.send().await.context("a download failed")?;
            let status = answer.status();
            ensure!(status == StatusCode::OK, "a download was answered with {status}");
            let mut incoming = contents.compare();
            while let Some(bytes) = answer.chunk().await.context("a download broke off")? {
                incoming.take(&bytes);
            }
            times.download.record(owner.n, started.elapsed());
            if !incoming.is_whole() {
                faults.corrupt += 1;
            }
        }
        Ok(faults)
    }
}

/// Sends these bytes, and waits for the answer that they have come.
async fn answered(request: RequestBuilder, bytes: Outgoing) -> anyhow::Result<()> {
    let answer = request.body(reqwest::Body::wrap(bytes)).send().await?;
    let status = answer.status();
    ensure!(status.is_success(), "answered with {status}: {}", answer.text().await?);
    Ok(())
}
