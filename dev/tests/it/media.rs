//! Media on real stacks, in a folder and in S3. Where no worker
//! runs, these tests say what it would find.

mod downloads;
mod fetches;
mod resuming;
mod rights;
mod s3;
mod uploads;
mod whole;

use bytes::Bytes;
use dev::{Stack, StackBuilder};
use futures_util::TryStreamExt as _;
use reqwest::{Client, Method, RequestBuilder};
use schemas::{
    ErrorCode, MediaId,
    http::{MediaInfo, Reservation},
};
use serde_json::{Value, json};
use store::{
    Directory as _, KvDirectory, MediaChange, Served,
    objects::{MediaPlace, Object, Objects, ObjectsOptions, Part, S3Options},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{
    http::Answer,
    objects::s3::in_s3,
    people::{FIRST, Person},
    support,
};

/// The most an upload may have here.
const MOST: u64 = 20 * 1024 * 1024;
/// The most that is kept for somebody here.
const QUOTA: u64 = 5 * MOST;

/// Two gateways with one folder, and what a media worker would see of them.
pub(crate) struct Studio {
    pub(crate) stack: Stack,
    pub(crate) objects: Objects,
    /// Where the media are.
    _alive: Box<dyn Send + Sync>,
}

impl Studio {
    /// The one of all tests here; it dies with the process.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Studio> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// One to kill parts of.
    pub(crate) async fn start() -> Self {
        Self::start_with(0).await
    }

    /// One with media workers, which find out by themselves.
    pub(crate) async fn start_with(workers: usize) -> Self {
        Self::in_a_folder(Vec::new(), workers).await
    }

    async fn in_a_folder(mut settings: Vec<(&str, String)>, workers: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let place = MediaPlace::Folder(folder.path().to_owned());
        let options = ObjectsOptions { media: place, s3: S3Options::default() };
        settings.push(("PETREL_MEDIA", folder.path().display().to_string()));
        Self::on(Objects::open(&options).unwrap(), settings, workers, folder).await
    }

    /// One whose media are in an S3 of its own.
    pub(crate) async fn in_s3() -> Self {
        Self::in_s3_with(0).await
    }

    /// And one with media workers.
    pub(crate) async fn in_s3_with(workers: usize) -> Self {
        let (objects, server) = in_s3().await;
        let settings = server.settings();
        Self::on(objects, settings, workers, server).await
    }

    /// Two gateways that are told these variables.
    async fn on(
        objects: Objects,
        settings: Vec<(&str, String)>,
        workers: usize,
        alive: impl Send + Sync + 'static,
    ) -> Self {
        let stack = support::stack()
            .gateways(2)
            .workers(workers)
            .limits(false)
            .env("PETREL_MEDIA_MAX_BYTES", MOST.to_string())
            .env("PETREL_MEDIA_QUOTA_BYTES", QUOTA.to_string());
        let set = |stack: StackBuilder, (variable, value)| stack.env(variable, value);
        let stack = settings.into_iter().fold(stack, set);
        Self { stack: stack.start().await.unwrap(), objects, _alive: Box::new(alive) }
    }

    /// The gateways' directory. A connection lives no longer than the test that
    /// made it.
    pub(crate) async fn directory(&self) -> KvDirectory {
        let bus = self.stack.bus().await.unwrap();
        let open = async || KvDirectory::open(&bus.jetstream).await.ok();
        support::until_some(open, "the directory answers").await
    }

    /// Finds that an upload is what it is said to be.
    pub(crate) async fn accept(&self, id: MediaId) {
        let directory = self.directory().await;
        let media = directory.media_fresh(id).await.unwrap().unwrap();
        let [upload, content] =
            [Part::Upload, Part::Content].map(|part| Object { media: id, part });
        let mut uploaded = self.objects.read(upload, None).await.unwrap().bytes;
        let mut writing = self.objects.write(content).await.unwrap();
        while let Some(bytes) = uploaded.try_next().await.unwrap() {
            writing.write(bytes).await.unwrap();
        }
        writing.finish().await.unwrap();
        self.objects.delete(upload).await.unwrap();
        let is_image = media.mime.starts_with("image/");
        let thumbnail = is_image.then(|| "image/jpeg".to_owned());
        if is_image {
            let small = Object { media: id, part: Part::Thumbnail };
            let mut writing = self.objects.write(small).await.unwrap();
            writing.write("a small picture".into()).await.unwrap();
            writing.finish().await.unwrap();
        }
        let (mime, size) = (media.mime, media.size);
        let [width, height] = [40, 30].map(|pixels| is_image.then_some(pixels));
        let served = Served { mime, size, width, height, thumbnail };
        directory.change_media(id, &MediaChange::Accept(served)).await.unwrap();
    }

    /// Finds that it is not.
    pub(crate) async fn reject(&self, id: MediaId) {
        let reason = "it is a text".to_owned();
        let directory = self.directory().await;
        directory.change_media(id, &MediaChange::Reject { reason }).await.unwrap();
    }

    /// Something that is ready.
    pub(crate) async fn ready(&self, owner: &Person, mime: &str, bytes: &Bytes) -> MediaId {
        let reserved = reserve(owner, mime, bytes.len() as u64).await;
        assert!(put(&reserved, bytes.clone()).await.status < 300);
        // In S3 nobody else has noticed yet.
        let directory = self.directory().await;
        let _ = directory.change_media(reserved.id, &MediaChange::Arrive).await;
        self.accept(reserved.id).await;
        reserved.id
    }
}

/// Bytes that are nowhere the same.
pub(crate) fn bytes(count: usize) -> Bytes {
    (0..count).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

pub(crate) fn client() -> Client {
    let redirects = reqwest::redirect::Policy::none();
    Client::builder().no_proxy().redirect(redirects).build().unwrap()
}

/// An announcement of that type and size.
pub(crate) fn announcement(mime: &str, size: u64) -> Value {
    json!({"name": "Engine №1.png", "mime": mime, "size": size})
}

/// Reserves an upload.
pub(crate) async fn reserve(person: &Person, mime: &str, size: u64) -> Reservation {
    person.account.post("v1/media", Some(&announcement(mime, size))).await.unwrap()
}

/// The code with which that is refused.
pub(crate) async fn is_refused(person: &Person, announcement: &Value) -> ErrorCode {
    let refused = person.account.post::<Value>("v1/media", Some(announcement)).await;
    refused.unwrap_err().code().unwrap()
}

/// The upload's own request.
pub(crate) fn upload(reserved: &Reservation) -> RequestBuilder {
    let headers = reserved.upload.headers.iter();
    headers.fold(client().put(&reserved.upload.url), |put, (name, value)| put.header(name, value))
}

/// Uploads all of it.
pub(crate) async fn put(reserved: &Reservation, bytes: Bytes) -> Answer {
    Answer::to(upload(reserved).body(bytes)).await
}

pub(crate) async fn info(person: &Person, id: MediaId) -> MediaInfo {
    person.account.get(&format!("v1/media/{id}")).await.unwrap()
}

/// A `GET` below `v1/media/{id}` at the first gateway.
pub(crate) async fn get(person: &Person, path: &str, headers: &[(&str, &str)]) -> Answer {
    request(Method::GET, person, path, headers).await
}

pub(crate) async fn request(
    method: Method,
    person: &Person,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let url = person.at(FIRST).api.base().join(&format!("v1/media/{path}")).unwrap();
    let request = client().request(method, url).bearer_auth(person.account.token());
    Answer::to(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
        .await
}
