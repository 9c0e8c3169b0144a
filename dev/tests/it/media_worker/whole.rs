//! The whole of it: gateways, a worker, and people who send a picture.

use bytes::Bytes;
use schemas::{Body, ChatId, MediaId, body::Event, http::MediaState};
use serde_json::json;

use super::pictures::{self, SECRET};
use crate::{
    media::{client, info, put, reserve},
    people::{FIRST, Person, SECOND},
};

/// The bytes, and what they are said to be; as somebody gets them.
async fn download(person: &Person, media: MediaId, what: &str) -> (String, Bytes) {
    let url = person.at(SECOND).api.base().join(&format!("v1/media/{media}/{what}")).unwrap();
    let answer = client().get(url).bearer_auth(person.account.token()).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{what}");
    let mime = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (mime, answer.bytes().await.unwrap())
}

#[tokio::test]
async fn a_picture_is_uploaded_announced_sent_and_seen() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let upload = pictures::jpeg_on_its_side();
    let reserved = reserve(&alice, "image/jpeg", upload.len() as u64).await;
    assert_eq!(put(&reserved, upload.into()).await.status, 204);

    let told = a.gets().await;
    assert_eq!((told.chat, told.from), (ChatId::User(alice.user()), alice.user()));
    let Ok(Body::Event(Event::MediaReady { media, width, height, .. })) = told.body.typed() else {
        panic!("{told:?}");
    };
    assert_eq!((media, width, height), (reserved.id, Some(300), Some(400)));
    assert_eq!(info(&alice, media).await.state, MediaState::Ready);

    let body = json!({"kind": "media", "media": media, "name": "a.jpg", "mime": "image/jpeg",
        "size": 1, "width": 300, "height": 400});
    a.sends(json!({"type": "send", "id": "a", "chat": bob.user(), "body": body})).await;
    assert_eq!(json!(b.gets().await.body), body);
    for (what, size) in [("content", (300, 400)), ("thumbnail", (240, 320))] {
        let (mime, bytes) = download(&bob, media, what).await;
        assert_eq!((&*mime, pictures::size_of(&bytes)), ("image/jpeg", size));
        assert!(!pictures::says(&bytes, SECRET), "{what} says where it was taken");
    }
}

#[tokio::test]
async fn a_lie_is_told_to_who_uploaded_it_and_cannot_be_sent() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let svg = Bytes::from_static(b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>");
    let reserved = reserve(&alice, "image/png", svg.len() as u64).await;
    assert_eq!(put(&reserved, svg).await.status, 204);
    let told = a.gets().await;
    let Ok(Body::Event(Event::MediaRejected { media, reason })) = told.body.typed() else {
        panic!("{told:?}");
    };
    assert_eq!(media, reserved.id);
    assert_eq!(reason, "it was said to be image/png, but is image/svg+xml");
    let rejected = info(&alice, media).await;
    assert_eq!((rejected.state, rejected.reason), (MediaState::Rejected, Some(reason)));
    let body =
        json!({"kind": "media", "media": media, "name": "a", "mime": "image/png", "size": 1});
    a.is_refused(json!({"type": "send", "id": "a", "chat": bob.user(), "body": body})).await;
}
