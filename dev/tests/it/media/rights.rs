//! Who may read what was uploaded, send it on, and make it a picture.

use schemas::{
    ErrorCode, MediaId,
    http::{Group, MediaState},
};
use serde_json::{Value, json};
use store::{Audience, Directory as _};

use super::{Studio, bytes, get, info, put, reserve};
use crate::{
    http::Answer,
    people::{FIRST, Person, SECOND, with},
};

const PNG: &str = "image/png";

async fn several<const N: usize>() -> [Person; N] {
    Person::several_on(&Studio::shared().await.stack).await
}

async fn picture(owner: &Person) -> MediaId {
    Studio::shared().await.ready(owner, PNG, &bytes(100)).await
}

/// A message with media.
fn message(chat: impl serde::Serialize, media: MediaId) -> Value {
    let body = json!({"kind": "media", "media": media, "name": "a.png", "mime": PNG, "size": 100});
    let id = ulid::Ulid::generate().to_string();
    json!({"type": "send", "id": id, "chat": chat, "body": body})
}

/// Sends it over HTTP; the status.
pub(super) async fn sends(sender: &Person, chat: impl serde::Serialize, media: MediaId) -> u16 {
    let url = sender.at(SECOND).api.base().join("v1/messages").unwrap();
    let send = super::client().post(url).bearer_auth(sender.account.token());
    Answer::to(send.body(message(chat, media).to_string())).await.status
}

async fn club(people: &[&Person]) -> Group {
    let members: Vec<_> = people.iter().map(|person| person.user()).collect();
    let new = json!({"name": "club", "members": members});
    people[0].account.post("v1/groups", Some(&new)).await.unwrap()
}

/// Whether somebody gets the bytes, which is whether they hear of them at all.
async fn reads(person: &Person, media: MediaId) -> bool {
    let content = get(person, &format!("{media}/content"), &[]).await;
    let told = get(person, &media.to_string(), &[]).await;
    assert_eq!(content.status, told.status);
    if content.status != 200 {
        content.is_problem(ErrorCode::NotFound);
    }
    content.status == 200
}

#[tokio::test]
async fn who_was_sent_media_reads_them_and_sends_them_on() {
    let [alice, bob, carol, eve] = several().await;
    let media = picture(&alice).await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    assert!(!reads(&bob, media).await);
    assert_eq!(b.is_refused(message(carol.user(), media)).await, ErrorCode::NotFound);
    let sent = message(bob.user(), media);
    a.sends(sent.clone()).await;
    assert_eq!(json!(b.gets().await.body), sent["body"]);
    assert!(reads(&bob, media).await && !reads(&carol, media).await);
    b.sends(message(carol.user(), media)).await;
    assert!(reads(&carol, media).await);
    assert_eq!(sends(&carol, carol.user(), media).await, 200);
    // And to herself, who need not be let.
    assert_eq!(sends(&alice, alice.user(), media).await, 200);
    assert!(!reads(&eve, media).await);
    assert_eq!(sends(&eve, eve.user(), media).await, 404);
    assert_eq!(sends(&alice, bob.user(), MediaId::mint()).await, 404);
}

#[tokio::test]
async fn members_read_what_was_sent_to_the_group_for_as_long_as_they_are() {
    let [alice, bob, carol, dave] = several().await;
    let media = picture(&alice).await;
    let club = club(&[&alice, &bob, &carol]).await;
    assert_eq!(sends(&alice, club.id, media).await, 200);
    assert!(reads(&bob, media).await && reads(&carol, media).await);
    assert!(!reads(&dave, media).await);
    assert_eq!(sends(&dave, club.id, media).await, 403);
    let member = |person: &Person| format!("v1/groups/{}/members/{}", club.id, person.user());
    let call = async |method: reqwest::Method, person: &Person| {
        let api = &alice.at(SECOND).api;
        let token = Some(alice.account.token());
        api.call::<Value>(method, &member(person), token, None::<&()>).await.unwrap();
    };
    // What was sent on before stays with who did it, and whom they sent it to.
    assert_eq!(sends(&carol, dave.user(), media).await, 200);
    for person in [&bob, &carol] {
        call(reqwest::Method::DELETE, person).await;
    }
    assert!(!reads(&bob, media).await);
    assert!(reads(&carol, media).await && reads(&dave, media).await);
    assert_eq!(sends(&bob, alice.user(), media).await, 404);
    call(reqwest::Method::PUT, &bob).await;
    assert!(reads(&bob, media).await);
}

#[tokio::test]
async fn a_blocked_sender_lets_nobody_read() {
    let [alice, bob] = several().await;
    let media = picture(&alice).await;
    bob.account.block(alice.user()).await.unwrap();
    assert_eq!(sends(&alice, bob.user(), media).await, 200);
    assert!(!reads(&bob, media).await);
    let other = picture(&bob).await;
    let mut b = bob.connect(FIRST).await;
    assert_eq!(b.is_refused(message(alice.user(), other)).await, ErrorCode::Blocked);
    assert!(!reads(&alice, other).await);
}

#[tokio::test]
async fn what_is_pending_is_sent_and_what_is_rejected_is_not() {
    let (studio, [alice, bob, carol]) = (Studio::shared().await, several().await);
    let reserved = reserve(&alice, PNG, 10).await;
    let sent = message(bob.user(), reserved.id);
    alice.connect(FIRST).await.sends(sent.clone()).await;
    assert_eq!(info(&bob, reserved.id).await.state, MediaState::Pending);
    assert_eq!(put(&reserved, bytes(10)).await.status, 204);
    studio.reject(reserved.id).await;
    assert_eq!(info(&bob, reserved.id).await.state, MediaState::Rejected);
    let mut a = alice.connect(FIRST).await;
    let club = club(&[&alice, &bob]).await;
    assert_eq!(a.gets().await.chat.to_string(), club.id.to_string());
    for chat in [json!(carol.user()), json!(club.id), json!(alice.user())] {
        assert_eq!(a.is_refused(message(chat, reserved.id)).await, ErrorCode::Invalid);
    }
    // Who did not hear that it is stored sends the same again.
    a.sends(sent).await;
    // It fails only itself.
    a.sends(with(message(bob.user(), reserved.id), "body", json!({"kind": "text", "text": "a"})))
        .await;
}

/// Whom media were shared with is all that the sweep has to go by.
#[tokio::test]
async fn what_was_sent_or_worn_is_known_as_such() {
    let studio = Studio::shared().await;
    let [alice, bob] = several().await;
    let directory = studio.directory().await;
    let audiences = async |media| {
        let mut audiences = directory.media_shares(media).await.unwrap().with;
        audiences.sort_by_key(Audience::to_string);
        audiences
    };
    let [own, theirs] = [&alice, &bob].map(|person| Audience::User(person.user()));
    let (note, letter, unheard) =
        (picture(&alice).await, picture(&alice).await, picture(&bob).await);
    assert_eq!(audiences(note).await, []);
    assert_eq!(sends(&alice, alice.user(), note).await, 200);
    assert_eq!(audiences(note).await, [own]);
    assert_eq!(sends(&alice, bob.user(), letter).await, 200);
    assert_eq!(audiences(letter).await, [theirs]);
    alice.account.block(bob.user()).await.unwrap();
    assert_eq!(sends(&bob, alice.user(), unheard).await, 200);
    assert_eq!(audiences(unheard).await, [theirs]);

    let (mine, ours) = (picture(&alice).await, picture(&alice).await);
    let club = club(&[&alice, &bob]).await.id;
    let wears = async |path: &str, picture| {
        let url = alice.account.api.base().join(path).unwrap();
        let patch = super::client().patch(url).bearer_auth(alice.account.token());
        let patched = Answer::to(patch.body(json!({"picture": picture}).to_string())).await;
        assert_eq!(patched.status, 200);
    };
    wears("v1/me", mine).await;
    assert_eq!(audiences(mine).await, [Audience::Everyone, own]);
    wears(&format!("v1/groups/{club}"), ours).await;
    assert_eq!(audiences(ours).await, [Audience::Everyone, Audience::Group(club)]);
}

#[tokio::test]
async fn pictures_are_everybodys() {
    let [alice, bob, eve] = several().await;
    let (mine, ours) = (picture(&alice).await, picture(&alice).await);
    let club = club(&[&alice, &bob]).await;
    let patch = async |person: &Person, path: &str, picture: Value| {
        let url = person.account.api.base().join(path).unwrap();
        let patch = super::client().patch(url).bearer_auth(person.account.token());
        Answer::to(patch.body(json!({"picture": picture}).to_string())).await
    };
    let group = format!("v1/groups/{}", club.id);
    for path in ["v1/me", &group] {
        for not_hers in [json!(mine), json!(MediaId::mint())] {
            patch(&bob, path, not_hers).await.is_problem(ErrorCode::NotFound);
        }
    }
    assert_eq!(patch(&alice, "v1/me", json!(mine)).await.json()["picture"], json!(mine));
    assert_eq!(patch(&alice, &group, json!(ours)).await.json()["picture"], json!(ours));
    for picture in [mine, ours] {
        assert!(reads(&eve, picture).await);
    }
    let profile = eve.account.find(&alice.name).await.unwrap().unwrap();
    assert_eq!(profile.picture, Some(mine));
    assert_eq!(patch(&alice, "v1/me", Value::Null).await.json()["picture"], Value::Null);

    let studio = Studio::shared().await;
    let text = studio.ready(&alice, "text/plain", &bytes(10)).await;
    let rejected = reserve(&alice, PNG, 10).await;
    assert_eq!(put(&rejected, bytes(10)).await.status, 204);
    studio.reject(rejected.id).await;
    for picture in [text, rejected.id] {
        for path in ["v1/me", &group] {
            patch(&alice, path, json!(picture)).await.is_problem(ErrorCode::Invalid);
        }
        get(&eve, &picture.to_string(), &[]).await.is_problem(ErrorCode::NotFound);
    }
    // Who is refused has shown nothing.
    let hers = self::picture(&eve).await;
    patch(&eve, &group, json!(hers)).await.is_problem(ErrorCode::NotMember);
    assert!(!reads(&alice, hers).await);
    let pending = reserve(&alice, PNG, 10).await.id;
    assert_eq!(patch(&alice, "v1/me", json!(pending)).await.status, 200);
}
