//! The whole way, with the media worker: uploaded, looked at, told, sent, read.

use bytes::Bytes;
use image::{DynamicImage, ImageFormat};
use reqwest::header;
use schemas::{
    Body, ErrorCode,
    body::Event,
    http::{MediaState, Reservation},
};
use serde_json::json;

use super::{
    Studio, client, get, info, put, reserve,
    resuming::{at, offset, patch},
};
use crate::people::{FIRST, Line, Person, SECOND};

fn png() -> Bytes {
    let mut png = std::io::Cursor::new(Vec::new());
    DynamicImage::new_rgb8(640, 480).write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner().into()
}

/// Hears what was found out about an upload, in the note to self.
async fn hears_event(line: &mut Line, person: &Person) -> Event {
    let item = line.gets().await;
    assert_eq!((item.chat, item.from), (person.chat(), person.user()));
    match item.body.typed().unwrap() {
        Body::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

/// The bytes, from wherever they are.
async fn read(person: &Person, reserved: &Reservation, part: &str) -> Bytes {
    let path = format!("v1/media/{}/{part}", reserved.id);
    let url = person.account.api.base().join(&path).unwrap();
    let answer = client().get(url).bearer_auth(person.account.token()).send().await.unwrap();
    match answer.headers().get(header::LOCATION) {
        Some(address) => {
            let answer = client().get(address.to_str().unwrap()).send().await.unwrap();
            answer.bytes().await.unwrap()
        }
        None => answer.bytes().await.unwrap(),
    }
}

async fn goes_the_whole_way(studio: Studio) {
    let [alice, bob] = Person::several_on(&studio.stack).await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let png = png();
    let at_once = reserve(&alice, "image/png", png.len() as u64).await;
    assert!(put(&at_once, png.clone()).await.status < 300);
    // Whoever asks is as good as a notice.
    info(&alice, at_once.id).await;
    let told = hears_event(&mut a, &alice).await;
    let Event::MediaReady { media, width, height, thumbnail, .. } = told else {
        panic!("{told:?}")
    };
    assert_eq!((media, width, height), (at_once.id, Some(640), Some(480)));
    assert!(thumbnail);
    let shown = info(&alice, media).await;
    assert_eq!((shown.state, shown.width, shown.thumbnail), (MediaState::Ready, Some(640), true));

    let body = json!({
        "kind": "media", "media": media, "name": shown.name, "mime": shown.mime, "size": shown.size,
    });
    a.sends(json!({"type": "send", "id": "m1", "chat": bob.user(), "body": body})).await;
    assert_eq!(json!(b.gets().await.body), body);
    for part in ["content", "thumbnail"] {
        let picture = image::load_from_memory(&read(&bob, &at_once, part).await).unwrap();
        assert_eq!(picture.width() * 3, picture.height() * 4, "{part}");
    }
    assert_eq!(read(&bob, &at_once, "content").await.len() as u64, shown.size);

    let in_pieces = reserve(&alice, "image/png", png.len() as u64).await;
    let url = at(&studio, SECOND, &in_pieces);
    assert_eq!(offset(&url).await, 0);
    assert_eq!(patch(&url, 0, png).await.status, 204);
    let told = hears_event(&mut a, &alice).await;
    assert!(matches!(told, Event::MediaReady { media, .. } if media == in_pieces.id), "{told:?}");

    let lie = reserve(&alice, "image/png", 20).await;
    assert_eq!(
        patch(&at(&studio, FIRST, &lie), 0, "not a picture at all".into()).await.status,
        204
    );
    let told = hears_event(&mut a, &alice).await;
    assert!(matches!(told, Event::MediaRejected { media, .. } if media == lie.id), "{told:?}");
    get(&alice, &format!("{}/content", lie.id), &[]).await.is_problem(ErrorCode::NotFound);
}

#[tokio::test]
async fn in_a_folder() {
    goes_the_whole_way(Studio::start_with(1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_s3() {
    goes_the_whole_way(Studio::in_s3_with(1).await).await;
}
