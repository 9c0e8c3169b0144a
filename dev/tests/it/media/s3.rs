//! Where the bytes go to a store of their own: the same for clients, but that
//! some addresses lead there.

use async_nats::jetstream::stream;
use bytes::Bytes;
use nats::subject::MEDIA_STREAM;
use reqwest::{Method, header};
use schemas::{ErrorCode, http::MediaState};
use store::{Directory as _, MediaState as Stored, objects::LEAST_PIECE};

use super::{
    Studio, announcement, bytes, client, get, info, is_refused, put, request, reserve,
    resuming::{Begun, at, has, is_stored, offset, patch},
    upload,
};
use crate::people::{FIRST, Person, SECOND};

const PIECE: u64 = LEAST_PIECE as u64;

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_to_the_store_and_come_from_there() {
    let studio = Studio::in_s3().await;
    let [alice, eve] = Person::several_on(&studio.stack).await;
    let reserved = reserve(&alice, "application/pdf", 70_000).await;
    let bytes = bytes(70_000);
    assert!(!reserved.upload.url.contains("/v1/media/"), "{}", reserved.upload.url);
    // Bound to type and length.
    let other = client().put(&reserved.upload.url).header(header::CONTENT_TYPE, "text/html");
    assert_eq!(other.body(bytes.clone()).send().await.unwrap().status(), 403);
    let short = client().put(&reserved.upload.url).header(header::CONTENT_TYPE, "application/pdf");
    assert_eq!(short.body(bytes.slice(1..)).send().await.unwrap().status(), 403);
    assert_eq!(info(&alice, reserved.id).await.state, MediaState::Pending);
    let stored = async || {
        let media = studio.directory().await.media_fresh(reserved.id).await.unwrap();
        media.unwrap().state
    };
    assert_eq!(stored().await, Stored::Reserved);
    assert!(upload(&reserved).body(bytes.clone()).send().await.unwrap().status().is_success());
    // Who asks is told no later than the worker would have looked.
    assert_eq!(info(&alice, reserved.id).await.state, MediaState::Pending);
    assert!(matches!(stored().await, Stored::Uploaded(_)));
    get(&alice, &format!("{}/content", reserved.id), &[]).await.is_problem(ErrorCode::Conflict);

    studio.accept(reserved.id).await;
    let answer = get(&alice, &format!("{}/content", reserved.id), &[]).await;
    assert_eq!((answer.status, answer.text.as_str()), (307, ""));
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("private, max-age=120"));
    let address = answer.header(header::LOCATION).unwrap();
    let content = client().get(address).send().await.unwrap();
    assert_eq!(content.headers()[header::CONTENT_TYPE], "application/pdf");
    let disposition = content.headers()[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"Engine _1.png\""), "{disposition}");
    assert!(content.bytes().await.unwrap() == bytes);
    let part = client().get(address).header(header::RANGE, "bytes=10-19").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert!(part.bytes().await.unwrap() == bytes.slice(10..20));
    let head = request(Method::HEAD, &alice, &format!("{}/content", reserved.id), &[]).await;
    assert_eq!((head.status, head.header(header::CONTENT_LENGTH)), (200, Some("70000")));
    get(&eve, &format!("{}/content", reserved.id), &[]).await.is_problem(ErrorCode::NotFound);

    let picture = studio.ready(&alice, "image/png", &Bytes::from("a picture")).await;
    let answer = get(&alice, &format!("{picture}/thumbnail"), &[]).await;
    let thumbnail = client().get(answer.header(header::LOCATION).unwrap()).send().await.unwrap();
    assert_eq!(thumbnail.text().await.unwrap(), "a small picture");
}

/// Without an announcement nobody would look at it.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_announced_is_not_reserved() {
    let studio = Studio::in_s3().await;
    let alice = Person::on(&studio.stack).await;
    reserve(&alice, "application/zip", 1_000).await;
    let jetstream = studio.stack.bus().await.unwrap().jetstream;
    let queue = jetstream.get_stream(MEDIA_STREAM).await.unwrap();
    let full = stream::Config { max_messages: 1, ..queue.cached_info().config.clone() };
    jetstream.update_stream(full).await.unwrap();
    let refused = is_refused(&alice, &announcement("application/zip", 2_000)).await;
    assert_eq!(refused, ErrorCode::Unavailable);
    let usage = studio.directory().await.media_usage(alice.user()).await.unwrap();
    assert_eq!((usage.count, usage.bytes), (1, 1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_its_gateway_was_killed() {
    let studio = Studio::in_s3().await;
    let alice = Person::on(&studio.stack).await;
    let bytes = bytes(13_000_000);
    let reserved = reserve(&alice, "application/zip", 13_000_000).await;
    let [first, second] = [FIRST, SECOND].map(|gateway| at(&studio, gateway, &reserved));
    assert_eq!(offset(&first).await, 0);
    // Of less than one nothing can be kept: who went on so would never end.
    for count in [1, 1_000_000, PIECE as usize - 1] {
        patch(&first, 0, bytes.slice(..count)).await.is_problem(ErrorCode::Invalid);
        assert_eq!(offset(&first).await, 0);
    }
    let answer = patch(&first, 0, Bytes::new()).await;
    assert_eq!((answer.status, answer.header("upload-offset")), (204, Some("0")));
    // Less than a piece is not kept, and the answer says so.
    let answer = patch(&first, 0, bytes.slice(..6_000_000)).await;
    assert_eq!(answer.header("upload-offset"), Some(PIECE.to_string().as_str()));
    let rest = 13_000_000 - PIECE as usize;
    let begun = Begun::patch(&first, PIECE, rest, &bytes[PIECE as usize..12_000_000]).await;
    has(&studio, &reserved, 2 * PIECE).await;
    studio.stack.gateways()[FIRST].kill9().await;
    drop(begun);
    assert_eq!(offset(&second).await, 2 * PIECE);
    patch(&second, PIECE, bytes.slice(PIECE as usize..)).await.is_problem(ErrorCode::Conflict);
    let answer = patch(&second, 2 * PIECE, bytes.slice(2 * PIECE as usize..)).await;
    assert_eq!(answer.header("upload-offset"), Some("13000000"), "{answer:?}");
    assert_eq!(offset(&second).await, 13_000_000);
    is_stored(&studio, &reserved, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_at_once_is_found_by_who_goes_on_in_pieces() {
    let studio = Studio::in_s3().await;
    let alice = Person::on(&studio.stack).await;
    let reserved = reserve(&alice, "application/zip", 1_000).await;
    assert!(put(&reserved, bytes(1_000)).await.status < 300);
    assert_eq!(offset(&at(&studio, SECOND, &reserved)).await, 1_000);
    let media = studio.directory().await.media_fresh(reserved.id).await.unwrap().unwrap();
    assert!(matches!(media.state, Stored::Uploaded(_)));
}
