//! Who is online, when who is not was last seen, and who may know.

mod deaths;
mod privacy;
mod restarts;

use schemas::{
    Millis,
    server::{Presence, PresenceState},
};
use serde_json::{Value, json};

use crate::people::{FIRST, Line, Person, SECOND};

/// Somebody as they are online.
fn online(person: &Person) -> Presence {
    Presence { user: person.user(), state: PresenceState::Online, last_seen: None }
}

/// Somebody of whom nothing more is known.
fn offline(person: &Person) -> Presence {
    Presence { user: person.user(), state: PresenceState::Offline, last_seen: None }
}

/// Hears that somebody is offline; when they were last seen.
async fn hears_last_seen(line: &mut Line, person: &Person) -> Millis {
    let items = line.hears_presence().await;
    let [Presence { user, state: PresenceState::Offline, last_seen: Some(last_seen) }] = items[..]
    else {
        panic!("{items:?}")
    };
    assert_eq!(user, person.user());
    last_seen
}

/// What a call for the presence of these people answers.
async fn looks(viewer: &Person, people: &[&Person]) -> Vec<Presence> {
    let ids: Vec<_> = people.iter().map(|person| person.user().to_string()).collect();
    let path = format!("/v1/presence?ids={}", ids.join(","));
    let answer: Value = viewer.at(SECOND).get(&path).await.unwrap();
    serde_json::from_value(answer["items"].clone()).unwrap()
}

#[tokio::test]
async fn a_watcher_is_told_at_once_and_of_every_change() {
    let [alice, bob, carol] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let _c = carol.connect(FIRST).await;
    for person in [&alice, &carol] {
        a.watches(&[person]).await;
        while a.hears_presence().await != [online(person)] {}
    }
    a.watches(&[&bob, &carol, &alice]).await;
    let mut told = a.hears_presence().await;
    told.sort_by_key(|presence| presence.user);
    let mut expected = [offline(&bob), online(&carol), online(&alice)];
    expected.sort_by_key(|presence| presence.user);
    assert_eq!(told, expected);

    for gateway in [FIRST, SECOND] {
        let b = bob.connect(gateway).await;
        assert_eq!(a.hears_presence().await, [online(&bob)]);
        let before = Millis::now();
        b.hangs_up().await;
        let last_seen = hears_last_seen(&mut a, &bob).await;
        assert!((before..=Millis::now()).contains(&last_seen), "{last_seen:?}");
        let seen = Presence { last_seen: Some(last_seen), ..offline(&bob) };
        assert_eq!(looks(&alice, &[&bob, &carol, &bob]).await, [seen, online(&carol)]);
    }
}

#[tokio::test]
async fn a_second_device_and_a_change_of_gateways_keep_one_online() {
    let [alice, bob] = Person::several().await;
    let tablet = bob.link().await;
    let mut a = alice.connect(FIRST).await;
    let (mut phone, other) = (bob.connect(FIRST).await, tablet.connect(SECOND).await);
    a.watches(&[&bob]).await;
    while a.hears_presence().await != [online(&bob)] {}
    other.hangs_up().await;
    for gateway in [SECOND, FIRST, SECOND] {
        phone.hangs_up().await;
        phone = bob.connect(gateway).await;
    }
    // All of that has come through when the last of it has.
    let before = Millis::now();
    phone.hangs_up().await;
    let last_seen = hears_last_seen(&mut a, &bob).await;
    assert!(last_seen >= before);
}

#[tokio::test]
async fn a_poll_is_a_sign_of_life_and_makes_nobody_online() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    a.watches(&[&bob]).await;
    assert_eq!(a.hears_presence().await, [offline(&bob)]);
    let before = Millis::now();
    for gateway in [FIRST, SECOND] {
        let items: Value = bob.at(gateway).get("/v1/inbox?wait=0").await.unwrap();
        assert_eq!(items, json!({"items": []}));
        let last_seen = hears_last_seen(&mut a, &bob).await;
        assert!((before..=Millis::now()).contains(&last_seen), "{last_seen:?}");
    }
}

#[tokio::test]
async fn a_watch_replaces_the_one_before() {
    let [alice, bob, carol] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    a.watches(&[&bob]).await;
    assert_eq!(a.hears_presence().await, [offline(&bob)]);
    a.watches(&[&carol]).await;
    assert_eq!(a.hears_presence().await, [offline(&carol)]);
    let _b = bob.connect(FIRST).await;
    let _c = carol.connect(FIRST).await;
    assert_eq!(a.hears_presence().await, [online(&carol)], "and bob's change came first");
    a.watches(&[]).await;
    a.is_quiet().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let [alice] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let users = |count: usize| -> Vec<_> { (0..count).map(|_| schemas::UserId::mint()).collect() };
    a.say(json!({"type": "watch", "users": users(257)})).await;
    assert_eq!(a.hears_error().await, (schemas::ErrorCode::Invalid, Some("watch".into())));
    a.say(json!({"type": "watch", "users": users(256)})).await;
    let told = a.hears_presence().await;
    assert_eq!(told.len(), 256);
    assert!(told.iter().all(|one| one.state == PresenceState::Offline && one.last_seen.is_none()));
    let ids: Vec<_> = users(101).iter().map(ToString::to_string).collect();
    for ids in ["nobody".to_owned(), ids.join(",")] {
        let path = format!("/v1/presence?ids={ids}");
        let refused = alice.account.get::<Value>(&path).await.unwrap_err();
        assert_eq!(refused.code(), Some(schemas::ErrorCode::Invalid), "{path}");
    }
}
