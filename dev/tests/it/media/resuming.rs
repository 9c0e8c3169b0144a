//! Uploads that are cut off and go on, by tus 1.0.0.

use bytes::Bytes;
use futures_util::StreamExt as _;
use nats::subject::MEDIA_ARRIVED;
use reqwest::{Method, Url, header};
use schemas::{
    ErrorCode, MediaId,
    event::MediaArrived,
    http::{MediaState, Reservation},
};
use store::{
    Directory as _, MediaChange, MediaState as Stored,
    objects::{Begin, Object, Part},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

use super::{Answer, MOST, Studio, bytes, client, get, info, put, reserve};
use crate::{
    people::{FIRST, Person, SECOND},
    support::{PATIENCE, memory_kib, until, until_some},
};

const PIECE: &str = "application/offset+octet-stream";
const ZIP: &str = "application/zip";

/// The address of the same upload at that gateway.
pub(super) fn at(studio: &Studio, gateway: usize, reserved: &Reservation) -> Url {
    let mut url: Url = reserved.resumable.parse().unwrap();
    url.set_port(Some(studio.stack.gateways()[gateway].addr().port())).unwrap();
    url
}

/// Where it goes on.
pub(super) async fn offset(url: &Url) -> u64 {
    let answer = Answer::to(client().head(url.clone()).header("tus-resumable", "1.0.0")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    answer.header("upload-offset").unwrap().parse().unwrap()
}

pub(super) async fn patch(url: &Url, offset: u64, bytes: Bytes) -> Answer {
    let patch = client().patch(url.clone()).header("tus-resumable", "1.0.0");
    let patch = patch.header(header::CONTENT_TYPE, PIECE).header("upload-offset", offset);
    let answer = Answer::to(patch.body(bytes)).await;
    assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
    answer
}

/// A request with that head whose body was begun.
pub(super) struct Begun(TcpStream);

impl Begun {
    async fn put(url: &Url, length: usize, some: &[u8]) -> Self {
        let head = format!("PUT {}?{} HTTP/1.1", url.path(), url.query().unwrap());
        Self::request(url, &head, &format!("content-type: {ZIP}"), length, some).await
    }

    pub(super) async fn patch(url: &Url, offset: u64, length: usize, some: &[u8]) -> Self {
        let head = format!("PATCH {}?{} HTTP/1.1", url.path(), url.query().unwrap());
        let more =
            format!("content-type: {PIECE}\r\ntus-resumable: 1.0.0\r\nupload-offset: {offset}");
        Self::request(url, &head, &more, length, some).await
    }

    async fn request(url: &Url, head: &str, more: &str, length: usize, some: &[u8]) -> Self {
        let address = (url.host_str().unwrap(), url.port().unwrap());
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("{head}\r\nhost: petrel\r\ncontent-length: {length}\r\n{more}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(some).await.unwrap();
        Self(stream)
    }

    async fn goes_on(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The first line of the answer.
    async fn answer(mut self) -> String {
        let mut answer = vec![0; 1_000];
        let count = self.0.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..count]).lines().next().unwrap_or_default().to_owned()
    }
}

/// Waits until so many bytes have come in.
pub(super) async fn has(studio: &Studio, reserved: &Reservation, count: u64) {
    let come_in = async || studio.objects.come_in(reserved.id).await.unwrap() >= count;
    until(come_in, format_args!("{count} bytes have come in")).await;
}

/// Sends a piece as soon as who sent before has let go.
async fn patch_when_free(url: &Url, offset: u64, bytes: &Bytes) -> Answer {
    let free = async || {
        let answer = patch(url, offset, bytes.clone()).await;
        if answer.status != 409 {
            return Some(answer);
        }
        answer.is_problem(ErrorCode::Conflict);
        None
    };
    until_some(free, "who sent before has let go").await
}

pub(super) async fn is_stored(studio: &Studio, reserved: &Reservation, bytes: &Bytes) {
    let object = Object { media: reserved.id, part: Part::Upload };
    assert_eq!(studio.objects.size(object).await.unwrap(), Some(bytes.len() as u64));
    studio.accept(reserved.id).await;
    let content =
        studio.objects.read(Object { part: Part::Content, ..object }, None).await.unwrap();
    let content: Vec<Bytes> = futures_util::TryStreamExt::try_collect(content.bytes).await.unwrap();
    assert!(content.concat() == *bytes);
}

#[tokio::test]
async fn cut_off_at_nine_tenths_it_goes_on_elsewhere() {
    let studio = Studio::shared().await;
    let alice = Person::on(&studio.stack).await;
    let bytes = bytes(5_000_000);
    let reserved = reserve(&alice, ZIP, 5_000_000).await;
    let [first, second] = [FIRST, SECOND].map(|gateway| at(studio, gateway, &reserved));
    assert_eq!(offset(&first).await, 0);
    let begun = Begun::put(&first, bytes.len(), &bytes[..4_500_000]).await;
    has(studio, &reserved, 4_500_000).await;
    drop(begun);
    assert_eq!(offset(&second).await, 4_500_000);
    let answer = patch_when_free(&second, 4_500_000, &bytes.slice(4_500_000..)).await;
    assert_eq!((answer.status, answer.header("upload-offset")), (204, Some("5000000")));
    assert_eq!(offset(&first).await, 5_000_000);
    is_stored(studio, &reserved, &bytes).await;
    // Who asks once more hears that nothing is left to do.
    assert_eq!(offset(&first).await, 5_000_000);
    assert_eq!(patch(&first, 5_000_000, Bytes::new()).await.status, 204);
    patch(&first, 4_500_000, bytes.slice(4_500_000..)).await.is_problem(ErrorCode::Conflict);
}

#[tokio::test]
async fn in_pieces_of_any_size() {
    let studio = Studio::shared().await;
    let alice = Person::on(&studio.stack).await;
    let bytes = bytes(1_000_000);
    let reserved = reserve(&alice, ZIP, 1_000_000).await;
    let [first, second] = [FIRST, SECOND].map(|gateway| at(studio, gateway, &reserved));
    let mut at = 0;
    for (count, url) in [(1, &first), (399_999, &second), (0, &first), (600_000, &second)] {
        let answer = patch(url, at as u64, bytes.slice(at..at + count)).await;
        at += count;
        assert_eq!(answer.header("upload-offset"), Some(at.to_string().as_str()), "{answer:?}");
        assert_eq!(offset(&first).await, at as u64);
    }
    is_stored(studio, &reserved, &bytes).await;
}

#[tokio::test]
async fn what_tus_does_not_have_is_refused() {
    let studio = Studio::shared().await;
    let alice = Person::on(&studio.stack).await;
    let reserved = reserve(&alice, ZIP, 1_000).await;
    let url = at(studio, FIRST, &reserved);
    assert_eq!(patch(&url, 0, bytes(100)).await.status, 204);
    for wrong in [0, 99, 101, 1_000, u64::MAX] {
        let answer = patch(&url, wrong, Bytes::new()).await;
        let code = if wrong > 1_000 { ErrorCode::TooLarge } else { ErrorCode::Conflict };
        answer.is_problem(code);
    }
    patch(&url, 100, bytes(901)).await.is_problem(ErrorCode::TooLarge);
    let piece = |method: Method| client().request(method, url.clone()).body("x");
    for version in ["", "0.2.2", "2.0.0"] {
        for method in [Method::PATCH, Method::HEAD] {
            let request = piece(method).header(header::CONTENT_TYPE, PIECE);
            let request = request.header("upload-offset", 100);
            let answer = Answer::to(request.header("tus-resumable", version)).await;
            assert_eq!(answer.status, 412, "{version}");
            for told in ["tus-resumable", "tus-version"] {
                assert_eq!(answer.header(told), Some("1.0.0"), "{told}");
            }
        }
    }
    let piece = || piece(Method::PATCH).header("tus-resumable", "1.0.0");
    let answer = Answer::to(piece().header("upload-offset", 100)).await;
    assert_eq!(answer.status, 415, "{answer:?}");
    for offset in ["", "-1", "x"] {
        let piece = piece().header(header::CONTENT_TYPE, PIECE).header("upload-offset", offset);
        Answer::to(piece).await.is_problem(ErrorCode::Invalid);
    }
    let mut nobodys = url.clone();
    nobodys.set_query(Some("token=x"));
    for method in [Method::HEAD, Method::PATCH] {
        let request = client().request(method, nobodys.clone()).header("tus-resumable", "1.0.0");
        let answer = Answer::to(request).await;
        assert_eq!((answer.status, answer.header("tus-resumable")), (403, Some("1.0.0")));
    }
    assert_eq!(offset(&url).await, 100);
    let options = Answer::to(client().request(Method::OPTIONS, url)).await;
    assert_eq!((options.status, options.header("tus-version")), (204, Some("1.0.0")));
    assert_eq!(options.header("tus-max-size"), Some(MOST.to_string().as_str()));
}

#[tokio::test]
async fn two_who_send_at_once_do_not_mix_their_bytes() {
    let studio = Studio::shared().await;
    let alice = Person::on(&studio.stack).await;
    let bytes = bytes(2_000_000);
    let reserved = reserve(&alice, ZIP, 2_000_000).await;
    let [first, second] = [FIRST, SECOND].map(|gateway| at(studio, gateway, &reserved));
    assert_eq!(patch(&first, 0, bytes.slice(..500_000)).await.status, 204);
    let mut begun = Begun::patch(&first, 500_000, 1_500_000, &bytes[500_000..1_000_000]).await;
    has(studio, &reserved, 1_000_000).await;
    for url in [&first, &second] {
        patch(url, 1_000_000, bytes.slice(1_000_000..)).await.is_problem(ErrorCode::Conflict);
        put(&reserved, Bytes::from(vec![9; 2_000_000])).await.is_problem(ErrorCode::Conflict);
    }
    begun.goes_on(&bytes[1_000_000..]).await;
    assert_eq!(begun.answer().await, "HTTP/1.1 204 No Content");
    is_stored(studio, &reserved, &bytes).await;
}

#[tokio::test]
async fn when_its_gateway_is_killed_it_goes_on_through_another() {
    let studio = Studio::start().await;
    let alice = Person::on(&studio.stack).await;
    let bytes = bytes(3_000_000);
    let reserved = reserve(&alice, ZIP, 3_000_000).await;
    let [first, second] = [FIRST, SECOND].map(|gateway| at(&studio, gateway, &reserved));
    let _begun = Begun::patch(&first, 0, 3_000_000, &bytes[..2_000_000]).await;
    has(&studio, &reserved, 2_000_000).await;
    studio.stack.gateways()[FIRST].kill9().await;
    assert_eq!(offset(&second).await, 2_000_000);
    assert_eq!(patch(&second, 2_000_000, bytes.slice(2_000_000..)).await.status, 204);
    is_stored(&studio, &reserved, &bytes).await;
}

#[tokio::test]
async fn a_gateway_that_leaves_is_not_held_up_by_an_upload() {
    let studio = Studio::start().await;
    let alice = Person::on(&studio.stack).await;
    let bytes = bytes(3_000_000);
    let reserved = reserve(&alice, ZIP, 3_000_000).await;
    let [first, second] = [FIRST, SECOND].map(|gateway| at(&studio, gateway, &reserved));
    let begun = Begun::patch(&first, 0, 3_000_000, &bytes[..2_000_000]).await;
    has(&studio, &reserved, 2_000_000).await;
    studio.stack.gateways()[FIRST].terminate();
    assert_eq!(begun.answer().await, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(offset(&second).await, 2_000_000);
    assert_eq!(patch(&second, 2_000_000, bytes.slice(2_000_000..)).await.status, 204);
    is_stored(&studio, &reserved, &bytes).await;
    // And that it ends at all.
    studio.stack.gateways()[FIRST].exited().await.unwrap();
}

/// A gateway may die, or the queue be away, when an upload has arrived and was
/// not announced.
#[tokio::test]
async fn whoever_asks_has_an_upload_announced_that_was_not() {
    let studio = Studio::shared().await;
    let alice = Person::on(&studio.stack).await;
    let asks: [(&str, u16); 4] = [("HEAD", 204), ("PATCH", 204), ("GET", 200), ("content", 409)];
    for (asks, status) in asks {
        let reserved = reserve(&alice, ZIP, 10).await;
        let directory = studio.directory().await;
        let mut announced = announced(studio, reserved.id).await;
        directory.change_media(reserved.id, &MediaChange::Arrive).await.unwrap();
        let url = at(studio, SECOND, &reserved);
        let answer = match asks {
            "HEAD" => Answer::to(client().head(url).header("tus-resumable", "1.0.0")).await,
            "PATCH" => patch(&url, 10, Bytes::new()).await,
            "GET" => get(&alice, &reserved.id.to_string(), &[]).await,
            _ => get(&alice, &format!("{}/content", reserved.id), &[]).await,
        };
        assert_eq!(answer.status, status, "{asks}");
        timeout(PATIENCE, announced.recv()).await.expect(asks).unwrap();
    }
}

/// A gateway may die between the last byte and the end of an upload.
#[tokio::test]
async fn whoever_asks_brings_an_upload_to_its_end() {
    let studio = Studio::shared().await;
    let alice = Person::on(&studio.stack).await;
    for asks in ["HEAD", "GET"] {
        let reserved = reserve(&alice, ZIP, 10).await;
        let mut receiving = studio.objects.receive(reserved.id, 10, Begin::Anew).await.unwrap();
        receiving.write(bytes(10)).await.unwrap();
        assert_eq!(receiving.pause().await.unwrap(), 10);
        let directory = studio.directory().await;
        let arrives = async || {
            match asks {
                "HEAD" => assert_eq!(offset(&at(studio, SECOND, &reserved)).await, 10),
                _ => assert_eq!(info(&alice, reserved.id).await.state, MediaState::Pending),
            }
            let media = directory.media_fresh(reserved.id).await.unwrap().unwrap();
            matches!(media.state, Stored::Uploaded(_))
        };
        until(arrives, asks).await;
        is_stored(studio, &reserved, &bytes(10)).await;
    }
}

/// Hears when that upload is announced, from now on.
async fn announced(studio: &Studio, id: MediaId) -> mpsc::Receiver<()> {
    let client = studio.stack.bus().await.unwrap().client;
    let mut heard = client.subscribe(MEDIA_ARRIVED).await.unwrap();
    client.flush().await.unwrap();
    let (told, announced) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(message) = heard.next().await {
            let arrived: MediaArrived = serde_json::from_slice(&message.payload).unwrap();
            if arrived.media == id {
                return told.send(()).await.unwrap();
            }
        }
    });
    announced
}

#[tokio::test]
async fn what_ends_after_its_record_was_swept_leaves_nothing() {
    let studio = Studio::shared().await;
    let alice = Person::on(&studio.stack).await;
    let reserved = reserve(&alice, ZIP, 1_000).await;
    let url = at(studio, FIRST, &reserved);
    let mut begun = Begun::patch(&url, 0, 1_000, &bytes(500)).await;
    has(studio, &reserved, 500).await;
    studio.directory().await.delete_media(reserved.id).await.unwrap();
    begun.goes_on(&bytes(500)).await;
    assert_eq!(begun.answer().await, "HTTP/1.1 404 Not Found");
    let upload = Object { media: reserved.id, part: Part::Upload };
    assert_eq!(studio.objects.size(upload).await.unwrap(), None);
    assert_eq!(studio.objects.come_in(reserved.id).await.unwrap(), 0);
}

#[tokio::test]
async fn so_many_pieces_of_one_sender_come_in_at_once_and_no_more() {
    let studio = Studio::shared().await;
    let [alice, bob] = Person::several_on(&studio.stack).await;
    let mut begun = Vec::new();
    for _ in 0..4 {
        let reserved = reserve(&alice, ZIP, 1_000).await;
        begun.push(Begun::patch(&at(studio, FIRST, &reserved), 0, 1_000, &bytes(500)).await);
        has(studio, &reserved, 500).await;
    }
    let [more, bobs] = [reserve(&alice, ZIP, 1_000).await, reserve(&bob, ZIP, 1_000).await];
    let url = at(studio, FIRST, &more);
    let refused = patch(&url, 0, bytes(1_000)).await;
    assert!(refused.header(header::RETRY_AFTER).is_some(), "{refused:?}");
    refused.is_problem(ErrorCode::RateLimited);
    assert_eq!(patch(&at(studio, FIRST, &bobs), 0, bytes(1_000)).await.status, 204);
    let mut one = begun.pop().unwrap();
    one.goes_on(&bytes(500)).await;
    assert_eq!(one.answer().await, "HTTP/1.1 204 No Content");
    let comes_in = async || {
        let answer = patch(&url, 0, bytes(1_000)).await;
        if answer.status == 204 {
            return true;
        }
        answer.is_problem(ErrorCode::RateLimited);
        false
    };
    until(comes_in, "one more comes in").await;
}

#[tokio::test]
async fn slow_senders_cost_no_memory() {
    let studio = Studio::start().await;
    let alice = Person::on(&studio.stack).await;
    let bytes = bytes(MOST as usize);
    let memory = || memory_kib(&studio.stack.gateways()[FIRST]);
    let warm = reserve(&alice, ZIP, MOST).await;
    assert_eq!(put(&warm, bytes.clone()).await.status, 204);
    let before = memory();
    let mut begun = Vec::new();
    for _ in 0..4 {
        let reserved = reserve(&alice, ZIP, MOST).await;
        let url = at(&studio, FIRST, &reserved);
        begun.push(Begun::put(&url, bytes.len(), &bytes[..bytes.len() - 1]).await);
        has(&studio, &reserved, MOST - 1).await;
    }
    let more = memory().saturating_sub(before);
    assert!(more < 20 * 1024, "{more} KiB more for 80 MiB that are coming in");
}
