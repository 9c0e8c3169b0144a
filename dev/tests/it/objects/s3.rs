//! An S3 in this process, and what it makes of signed addresses.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use reqwest::{StatusCode, header};
use s3s::{
    HttpError, HttpRequest, HttpResponse,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use schemas::MediaId;
use store::objects::{Begin, Download, MediaPlace, Object, Objects, Part, S3Options};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Mutex, time::sleep};
use tokio_util::task::AbortOnDropHandle;

const BUCKET: &str = "media";
const PREFIX: &str = "of/chats";
const REGION: &str = "eu-central-1";
const ACCESS_KEY: &str = "petrel";
const SECRET_KEY: &str = "a secret of these tests";
/// Longer than any test takes.
pub(super) const VALID: Duration = Duration::from_secs(300);
pub(super) const AS_IT_IS: Download<'static> =
    Download { mime: "application/octet-stream", disposition: "attachment" };

/// A server that goes when this is dropped.
pub(crate) struct Server {
    addr: SocketAddr,
    loses_next: Arc<AtomicBool>,
    _folder: TempDir,
    _serving: AbortOnDropHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let loses_next = Arc::default();
        let door = Door {
            service: service.build(),
            creates: Arc::default(),
            loses_next: Arc::clone(&loses_next),
        };
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, door)));
        Self { addr, loses_next, _folder: folder, _serving: serving }
    }

    /// The next object that is written only where there is none is written, and
    /// who wrote it does not hear so.
    fn loses_next_answer(&self) {
        self.loses_next.store(true, Relaxed);
    }

    /// What a process is told of it, by variable.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PETREL_MEDIA", format!("s3://{BUCKET}/{PREFIX}")),
            ("PETREL_S3_ENDPOINT", format!("http://{}", self.addr)),
            ("PETREL_S3_REGION", REGION.into()),
            ("PETREL_S3_ACCESS_KEY", ACCESS_KEY.into()),
            ("PETREL_S3_SECRET_KEY", SECRET_KEY.into()),
        ]
    }

    fn objects(&self) -> Objects {
        let endpoint = format!("http://{}", self.addr).parse().unwrap();
        let s3 = S3Options {
            s3_endpoint: Some(endpoint),
            s3_region: REGION.into(),
            s3_access_key: Some(ACCESS_KEY.into()),
            s3_secret_key: Some(SECRET_KEY.into()),
            ..S3Options::default()
        };
        let place = MediaPlace::S3 { bucket: BUCKET.into(), prefix: PREFIX.into() };
        super::open(place, s3).unwrap()
    }
}

/// In front of the S3, which looks whether there is an object and then writes
/// it: who may write it only where there is none has to be alone.
#[derive(Clone)]
struct Door {
    service: S3Service,
    creates: Arc<Mutex<()>>,
    loses_next: Arc<AtomicBool>,
}

impl Door {
    async fn call(self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if !request.headers().contains_key(header::IF_NONE_MATCH) {
            return self.service.call(request).await;
        }
        let _alone = self.creates.lock().await;
        let mut answer = self.service.call(request).await?;
        if self.loses_next.swap(false, Relaxed) {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok(answer)
    }
}

async fn serve(listener: TcpListener, door: Door) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let door = door.clone();
        tokio::spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            let door =
                |request: hyper::Request<Incoming>| door.clone().call(request.map(s3s::Body::from));
            // A client that goes away is no failure.
            let _ = builder.serve_connection(TokioIo::new(socket), service_fn(door)).await;
        });
    }
}

/// Object storage in an S3 of its own.
pub(crate) async fn in_s3() -> (Objects, Server) {
    let server = Server::start().await;
    (server.objects(), server)
}

/// One that is not there.
pub(super) fn object() -> Object {
    Object { media: MediaId::mint(), part: Part::Upload }
}

/// Uploads to a signed address, with other headers and bytes where they are given.
async fn upload(url: &str, mime: &str, bytes: Vec<u8>) -> StatusCode {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = client.put(url).header(header::CONTENT_TYPE, mime).body(bytes);
    put.send().await.unwrap().status()
}

#[tokio::test]
async fn a_signed_upload_takes_what_was_signed_and_nothing_else() {
    let (objects, _server) = in_s3().await;
    let object = object();
    let signed = objects.sign_upload(object, "image/png", 1_000, VALID).unwrap();
    assert_eq!(
        signed.headers,
        [("content-type", "image/png".to_owned()), ("content-length", "1000".to_owned())]
    );
    for (mime, size) in [("image/png", 999), ("image/png", 1_001), ("text/html", 1_000)] {
        let status = upload(&signed.url, mime, vec![7; size]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{size} bytes of {mime}");
    }
    let elsewhere = signed.url.replace(&object.media.to_string(), &MediaId::mint().to_string());
    assert_eq!(upload(&elsewhere, "image/png", vec![7; 1_000]).await, StatusCode::FORBIDDEN);
    assert_eq!(objects.size(object).await.unwrap(), None);

    assert_eq!(upload(&signed.url, "image/png", vec![7; 1_000]).await, StatusCode::OK);
    assert_eq!(objects.size(object).await.unwrap(), Some(1_000));
}

#[tokio::test]
async fn a_signed_address_serves_until_it_ends_and_as_was_signed() {
    let (objects, _server) = in_s3().await;
    let object = object();
    let mut writing = objects.write(object).await.unwrap();
    writing.write("some bytes".into()).await.unwrap();
    writing.finish().await.unwrap();

    let download = Download { mime: "image/png", disposition: "inline; filename=\"a cat.png\"" };
    let url = objects.sign_download(object, &download, VALID).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "image/png");
    assert_eq!(answer.headers()[header::CONTENT_DISPOSITION], download.disposition);
    assert_eq!(answer.text().await.unwrap(), "some bytes");
    let other = url.replace("image%2Fpng", "text%2Fhtml");
    assert_ne!(other, url);
    assert_eq!(client.get(other).send().await.unwrap().status(), StatusCode::FORBIDDEN);

    // The clock has whole seconds.
    let short = objects.sign_download(object, &download, Duration::from_secs(1)).unwrap();
    let mut status = StatusCode::OK;
    while status == StatusCode::OK {
        sleep(Duration::from_millis(100)).await;
        status = client.get(&short).send().await.unwrap().status();
    }
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn who_did_not_hear_that_they_began_goes_on() {
    let (objects, server) = in_s3().await;
    let upload = object();
    let mut receiving = objects.receive(upload.media, 10, Begin::Anew).await.unwrap();
    receiving.write("some bytes".into()).await.unwrap();
    server.loses_next_answer();
    receiving.complete().await.unwrap().release().await.unwrap();
    assert!(!server.loses_next.load(Relaxed), "no answer was lost");
    assert_eq!(objects.size(upload).await.unwrap(), Some(10));
}
