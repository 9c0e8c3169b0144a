//! Uploads in one go.

use bytes::Bytes;
use futures_util::{future::join_all, stream};
use reqwest::{Body, header};
use schemas::{
    ErrorCode, MediaId, Millis, UserId,
    http::{MediaState, UploadMethod},
    limits::UPLOAD_LIFE,
};
use serde_json::{Value, json};
use store::Directory as _;

use super::{
    Answer, MOST, QUOTA, Studio, announcement, bytes, client, get, info, is_refused, put, reserve,
    upload,
};
use crate::{
    people::{Person, with},
    support,
};

const PNG: &str = "image/png";

async fn person() -> Person {
    Person::on(&Studio::shared().await.stack).await
}

#[tokio::test]
async fn an_upload_is_reserved_sent_and_looked_at() {
    let (studio, alice) = (Studio::shared().await, person().await);
    let bytes = bytes(300_000);
    let reserved = reserve(&alice, PNG, 300_000).await;
    assert_eq!(reserved.upload.method, UploadMethod::Put);
    assert_eq!(reserved.upload.headers["content-type"], PNG);
    assert_eq!(reserved.upload.headers["content-length"], "300000");
    assert_eq!(reserved.resumable, reserved.upload.url);
    assert!(reserved.upload.url.starts_with(&studio.stack.gateways()[0].url()));
    let left = reserved.expires.0 - Millis::now().0;
    let life = UPLOAD_LIFE.as_millis() as i64;
    assert!(left <= life && left > life - 60_000, "{left}");

    let before = info(&alice, reserved.id).await;
    assert_eq!((before.state, before.size), (MediaState::Pending, 300_000));
    assert_eq!((before.name.as_str(), before.mime.as_str()), ("Engine №1.png", PNG));
    assert_eq!(before.expires, reserved.expires);
    let answer = put(&reserved, bytes.clone()).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(info(&alice, reserved.id).await.state, MediaState::Pending);

    studio.accept(reserved.id).await;
    let after = info(&alice, reserved.id).await;
    assert_eq!((after.state, after.width, after.height), (MediaState::Ready, Some(40), Some(30)));
    assert!(after.thumbnail && after.expires > before.expires);
    let content = client().get(url(&alice, reserved.id)).bearer_auth(alice.account.token());
    assert!(content.send().await.unwrap().bytes().await.unwrap() == bytes);
}

fn url(person: &Person, id: MediaId) -> String {
    format!("{}v1/media/{id}/content", person.account.api.base())
}

#[tokio::test]
async fn the_bytes_are_taken_once() {
    let (studio, alice) = (Studio::shared().await, person().await);
    let reserved = reserve(&alice, PNG, 7_000).await;
    assert_eq!(put(&reserved, bytes(7_000)).await.status, 204);
    let other = Bytes::from(vec![1; 7_000]);
    // The answer was lost, as far as one can see.
    assert_eq!(put(&reserved, other.clone()).await.status, 204);
    studio.accept(reserved.id).await;
    assert_eq!(put(&reserved, other).await.status, 204);
    let content = client().get(url(&alice, reserved.id)).bearer_auth(alice.account.token());
    assert!(content.send().await.unwrap().bytes().await.unwrap() == bytes(7_000));
    assert_eq!(info(&alice, reserved.id).await.state, MediaState::Ready);
}

#[tokio::test]
async fn what_is_rejected_is_not_served_and_says_why() {
    let (studio, alice) = (Studio::shared().await, person().await);
    let reserved = reserve(&alice, PNG, 10).await;
    assert_eq!(put(&reserved, bytes(10)).await.status, 204);
    studio.reject(reserved.id).await;
    let info = info(&alice, reserved.id).await;
    assert_eq!((info.state, info.reason.as_deref()), (MediaState::Rejected, Some("it is a text")));
    for part in ["content", "thumbnail"] {
        let answer = get(&alice, &format!("{}/{part}", reserved.id), &[]).await;
        answer.is_problem(ErrorCode::NotFound);
        assert!(answer.text.contains("it is a text"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_not_reserved() {
    let alice = person().await;
    let good = announcement(PNG, 10);
    let refused = async |field: &str, value: Value| {
        is_refused(&alice, &with(good.clone(), field, value)).await
    };
    let long = "a".repeat(256);
    for name in ["", "a/b", "a\\b", "a\nb", "a\0", "\u{7f}", &long] {
        assert_eq!(refused("name", json!(name)).await, ErrorCode::Invalid, "{name:?}");
    }
    for mime in ["", "image", "image/svg+xml", "text/html", "x/y", "image/*", "image/png, x/y"] {
        assert_eq!(refused("mime", json!(mime)).await, ErrorCode::Invalid, "{mime:?}");
    }
    assert_eq!(refused("size", json!(0)).await, ErrorCode::Invalid);
    assert_eq!(refused("size", json!(MOST + 1)).await, ErrorCode::TooLarge);
    assert_eq!(refused("size", json!(u64::MAX)).await, ErrorCode::TooLarge);
    assert_eq!(refused("size", json!(-1)).await, ErrorCode::Invalid);
    for size in [json!("10"), json!(null)] {
        assert_eq!(refused("size", size.clone()).await, ErrorCode::BadFrame, "{size}");
    }
    assert_eq!(refused("sha256", json!("00")).await, ErrorCode::Invalid);
    for (name, mime) in [("a", "IMAGE/PNG"), (&long[1..], "audio/ogg; codecs=opus"), ("ä", PNG)] {
        let new = json!({"name": name, "mime": mime, "size": MOST, "sha256": "ab".repeat(32)});
        let reserved: Value = alice.account.post("v1/media", Some(&new)).await.unwrap();
        let taken = reserved["upload"]["headers"]["content-type"].as_str().unwrap();
        assert!(mime.to_lowercase().starts_with(taken), "{taken}");
    }
}

#[tokio::test]
async fn nobody_is_kept_more_than_their_quota() {
    let (studio, alice) = (Studio::shared().await, person().await);
    let all = join_all((0..20).map(async |_| {
        let new = announcement(PNG, MOST);
        alice.account.post::<Value>("v1/media", Some(&new)).await
    }));
    let all = all.await;
    let got = all.iter().flatten().count() as u64;
    assert!(got <= QUOTA / MOST, "{got}");
    for refused in all.iter().filter_map(|one| one.as_ref().err()) {
        assert_eq!(refused.code(), Some(ErrorCode::TooLarge));
    }
    // One after the other they get all there is, and no more.
    for _ in got..QUOTA / MOST {
        reserve(&alice, PNG, MOST).await;
    }
    assert_eq!(is_refused(&alice, &announcement(PNG, 1)).await, ErrorCode::TooLarge);
    let usage = studio.directory().await.media_usage(alice.user()).await.unwrap();
    assert_eq!((usage.bytes, usage.count), (QUOTA, QUOTA / MOST));
    // Others are not concerned, and what goes makes room.
    reserve(&person().await, PNG, MOST).await;
}

#[tokio::test]
async fn an_address_is_good_for_one_upload_and_its_time() {
    let alice = person().await;
    let (reserved, other) = (reserve(&alice, PNG, 10).await, reserve(&alice, PNG, 10).await);
    let (path, token) = reserved.upload.url.split_once("?token=").unwrap();
    let (_, of_other) = other.upload.url.split_once("?token=").unwrap();
    let late = support::resign(token, |claims| claims["exp"] = json!(Millis::now().0 / 1000 - 1));
    let access = alice.account.token();
    for token in ["", "x", "a.b.c", of_other, &late, access, &token[..token.len() - 2]] {
        let url = format!("{path}?token={token}");
        for request in [client().put(&url), client().patch(&url)] {
            let request = request.header(header::CONTENT_TYPE, PNG).body("0123456789");
            Answer::to(request).await.is_problem(ErrorCode::Forbidden);
        }
        assert_eq!(Answer::to(client().head(&url)).await.status, 403);
    }
    // Nor without one, whoever asks.
    let request = client().put(path).bearer_auth(access).body("0123456789");
    Answer::to(request).await.is_problem(ErrorCode::Forbidden);
    // One that was forgotten meanwhile.
    let gone = MediaId::mint();
    let token = support::resign(token, |claims| claims["sub"] = json!(gone));
    let url = path.replace(&reserved.id.to_string(), &gone.to_string());
    let request = client().put(format!("{url}?token={token}")).header(header::CONTENT_TYPE, PNG);
    Answer::to(request.body("0123456789")).await.is_problem(ErrorCode::NotFound);
    assert_eq!(put(&reserved, bytes(10)).await.status, 204);
}

#[tokio::test]
async fn an_upload_is_of_the_announced_type_and_length() {
    let (studio, alice) = (Studio::shared().await, person().await);
    let reserved = reserve(&alice, PNG, 1_000).await;
    let put = |mime: &str, body: Body| {
        client().put(&reserved.upload.url).header(header::CONTENT_TYPE, mime).body(body)
    };
    for mime in ["image/jpeg", "", "image/png2", "text/html"] {
        Answer::to(put(mime, bytes(1_000).into())).await.is_problem(ErrorCode::Invalid);
    }
    for length in [0, 1, 999, 1_001, 50_000] {
        Answer::to(put(PNG, bytes(length).into())).await.is_problem(ErrorCode::Invalid);
    }
    // Without a length that would tell at once.
    for (pieces, code, kept) in [
        (9, ErrorCode::Invalid, 900),
        (11, ErrorCode::TooLarge, 0),
        (50_000, ErrorCode::TooLarge, 0),
    ] {
        let pieces = (0..pieces).map(|_| Ok::<_, std::io::Error>(bytes(100)));
        let body = Body::wrap_stream(stream::iter(pieces));
        Answer::to(put(PNG, body)).await.is_problem(code);
        assert_eq!(studio.objects.come_in(reserved.id).await.unwrap(), kept);
    }
    let ten = (0..10).map(|_| Ok::<_, std::io::Error>(bytes(100)));
    let answer = Answer::to(put("Image/PNG", Body::wrap_stream(stream::iter(ten)))).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[tokio::test]
async fn an_address_is_told_as_it_was_asked_for() {
    let alice = person().await;
    let url = alice.account.api.base().join("v1/media").unwrap();
    let ask = client().post(url).bearer_auth(alice.account.token());
    let ask = ask.header(header::HOST, "chat.example").body(announcement(PNG, 1).to_string());
    let reserved = Answer::to(ask.header("x-forwarded-proto", "https")).await.json();
    let url = reserved["upload"]["url"].as_str().unwrap();
    // What a client says of TLS by itself does not count.
    assert!(url.starts_with("http://chat.example/v1/media/m_"), "{url}");
}

#[tokio::test]
async fn media_of_others_are_not_there() {
    let [alice, eve] = Person::several_on(&Studio::shared().await.stack).await;
    let reserved = reserve(&alice, PNG, 10).await;
    assert_eq!(upload(&reserved).body(bytes(10)).send().await.unwrap().status(), 204);
    Studio::shared().await.accept(reserved.id).await;
    for path in ["", "/content", "/thumbnail"] {
        for id in [reserved.id, MediaId::mint()] {
            get(&eve, &format!("{id}{path}"), &[]).await.is_problem(ErrorCode::NotFound);
        }
        let path = format!("{}{path}", UserId::mint());
        get(&eve, &path, &[]).await.is_problem(ErrorCode::Invalid);
    }
}
