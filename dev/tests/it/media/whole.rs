//! The whole way, with the media worker: uploaded, looked at, told, sent, read.

use bytes::Bytes;
use image::{DynamicImage, ImageFormat};
use reqwest::header;
use schemas::{
    Body, ErrorCode,
    body::Event,
    http::{MediaState, Reservation},
};
use serde_json::{Value, json};

use super::{
    Studio, client, get, info, put, reserve,
    resuming::{at, offset, patch},
};
use crate::{
    media_worker::pictures::{self, SECRET},
    people::{FIRST, Line, Person, SECOND},
};

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

/// What they are said to be and the bytes, from wherever they are.
async fn read(person: &Person, reserved: &Reservation, part: &str) -> (String, Bytes) {
    let path = format!("v1/media/{}/{part}", reserved.id);
    let url = person.at(SECOND).api.base().join(&path).unwrap();
    let mut answer = client().get(url).bearer_auth(person.account.token()).send().await.unwrap();
    if let Some(address) = answer.headers().get(header::LOCATION) {
        answer = client().get(address.to_str().unwrap()).send().await.unwrap();
    }
    assert_eq!(answer.status(), 200, "{part}");
    let mime = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    (mime, answer.bytes().await.unwrap())
}

fn message(id: &str, to: &Person, body: &Value) -> Value {
    json!({"type": "send", "id": id, "chat": to.user(), "body": body})
}

/// Alice and Bob, and their lines.
struct Chat {
    studio: Studio,
    alice: Person,
    bob: Person,
    a: Line,
    b: Line,
    /// What an upload at once is answered.
    uploaded: u16,
}

impl Chat {
    async fn on(studio: Studio, uploaded: u16) -> Self {
        let [alice, bob] = Person::several_on(&studio.stack).await;
        let (a, b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
        Self { studio, alice, bob, a, b, uploaded }
    }

    async fn uploads(&self, mime: &str, bytes: Bytes) -> Reservation {
        let reserved = reserve(&self.alice, mime, bytes.len() as u64).await;
        assert_eq!(put(&reserved, bytes).await.status, self.uploaded);
        // Whoever asks is as good as a notice.
        info(&self.alice, reserved.id).await;
        reserved
    }

    async fn uploads_in_pieces(&self, gateway: usize, mime: &str, bytes: Bytes) -> Reservation {
        let reserved = reserve(&self.alice, mime, bytes.len() as u64).await;
        let url = at(&self.studio, gateway, &reserved);
        assert_eq!(offset(&url).await, 0);
        assert_eq!(patch(&url, 0, bytes).await.status, 204);
        reserved
    }

    /// On its side, and with a place in it that nobody is to learn of.
    async fn a_picture_is_seen(&mut self) {
        let sent = self.uploads("image/jpeg", pictures::jpeg_on_its_side().into()).await;
        let told = hears_event(&mut self.a, &self.alice).await;
        let Event::MediaReady { media, width, height, thumbnail, .. } = told else {
            panic!("{told:?}")
        };
        assert_eq!((media, width, height), (sent.id, Some(300), Some(400)));
        assert!(thumbnail);
        let shown = info(&self.alice, media).await;
        let expected = (MediaState::Ready, Some(300), true);
        assert_eq!((shown.state, shown.width, shown.thumbnail), expected);

        let body = json!({
            "kind": "media", "media": media, "name": shown.name, "mime": shown.mime,
            "size": shown.size, "width": 300, "height": 400,
        });
        self.a.sends(message("m1", &self.bob, &body)).await;
        assert_eq!(json!(self.b.gets().await.body), body);
        for (part, size) in [("content", (300, 400)), ("thumbnail", (240, 320))] {
            let (mime, bytes) = read(&self.bob, &sent, part).await;
            assert_eq!((&*mime, pictures::size_of(&bytes)), ("image/jpeg", size), "{part}");
            assert!(!pictures::says(&bytes, SECRET), "{part} says where it was taken");
        }
        let (_, content) = read(&self.bob, &sent, "content").await;
        assert_eq!(content.len() as u64, shown.size);
    }

    async fn one_in_pieces_is_ready(&mut self) {
        let in_pieces = self.uploads_in_pieces(SECOND, "image/png", png()).await;
        let told = hears_event(&mut self.a, &self.alice).await;
        let Event::MediaReady { media, width, height, thumbnail: true, .. } = told else {
            panic!("{told:?}")
        };
        assert_eq!((media, width, height), (in_pieces.id, Some(640), Some(480)));
    }

    /// It is told to who uploaded it, and can be neither read nor sent.
    async fn is_found_out(&mut self, lie: &Reservation, what: &str) {
        let told = hears_event(&mut self.a, &self.alice).await;
        let Event::MediaRejected { media, reason } = told else { panic!("{told:?}") };
        assert_eq!((media, &*reason), (lie.id, what));
        let rejected = info(&self.alice, media).await;
        assert_eq!((rejected.state, rejected.reason), (MediaState::Rejected, Some(reason)));
        get(&self.alice, &format!("{media}/content"), &[]).await.is_problem(ErrorCode::NotFound);
        let body =
            json!({"kind": "media", "media": media, "name": "a", "mime": "image/png", "size": 1});
        let refused = self.a.is_refused(message(&media.to_string(), &self.bob, &body)).await;
        assert_eq!(refused, ErrorCode::Invalid);
    }
}

async fn goes_the_whole_way(mut chat: Chat) {
    chat.a_picture_is_seen().await;
    chat.one_in_pieces_is_ready().await;
    let lie = "not a picture at all".into();
    let lie = chat.uploads_in_pieces(FIRST, "image/png", lie).await;
    chat.is_found_out(&lie, "it was said to be image/png, but is not").await;
    let lie = "<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>".into();
    let lie = chat.uploads("image/png", lie).await;
    chat.is_found_out(&lie, "it was said to be image/png, but is image/svg+xml").await;
}

#[tokio::test]
async fn in_a_folder() {
    goes_the_whole_way(Chat::on(Studio::start_with(1).await, 204).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_s3() {
    goes_the_whole_way(Chat::on(Studio::in_s3_with(1).await, 200).await).await;
}
