//! Who may not do what.

use reqwest::Method;
use schemas::{ErrorCode, GroupId, MediaId, UserId, body::Role, http::Group};
use serde_json::{Value, json};

use super::{Club, call, code, create};
use crate::people::{FIRST, Person, SECOND};

/// How a call is refused.
async fn refused(by: &Person, method: Method, path: &str, body: Option<Value>) -> ErrorCode {
    code(call::<Value>(by, FIRST, method, path, body).await)
}

#[tokio::test]
async fn outsiders_neither_see_nor_change_nor_reach_a_group() {
    let [alice, bob, mallory] = Person::several().await;
    let club = Club::of(&[&alice, &bob]).await;
    for gateway in [FIRST, SECOND] {
        assert_eq!(code(club.read(&mallory, gateway).await), ErrorCode::NotMember);
        assert_eq!(code(club.rename(&mallory, gateway, "x").await), ErrorCode::NotMember);
        assert_eq!(code(club.add(&mallory, gateway, &mallory).await), ErrorCode::NotMember);
        assert_eq!(code(club.remove(&mallory, gateway, &bob).await), ErrorCode::NotMember);
        let promoted = club.promote(&mallory, gateway, &bob, Role::Admin).await;
        assert_eq!(code(promoted), ErrorCode::NotMember);
        let mut line = mallory.connect(gateway).await;
        assert_eq!(line.is_refused(club.text("m1")).await, ErrorCode::NotMember);
        // It holds nothing up: the next one is refused for its own reason.
        let nowhere = Club(GroupId::mint());
        assert_eq!(line.is_refused(nowhere.text("m2")).await, ErrorCode::NotFound);
        line.types(club.chat(), true).await;
        line.is_quiet().await;
    }
    let items = bob.fetch(SECOND).await.items;
    assert_eq!(items.len(), 1, "the creation: {items:?}");
}

#[tokio::test]
async fn members_write_and_rename_and_admins_do_the_rest() {
    let [alice, bob, carol, dave] = Person::several().await;
    let club = Club::of(&[&alice, &bob, &carol]).await;
    assert_eq!(code(club.add(&bob, FIRST, &dave).await), ErrorCode::Forbidden);
    assert_eq!(code(club.remove(&bob, SECOND, &carol).await), ErrorCode::Forbidden);
    let promoted = club.promote(&bob, FIRST, &bob, Role::Admin).await;
    assert_eq!(code(promoted), ErrorCode::Forbidden);
    let stepped_down = club.promote(&alice, SECOND, &alice, Role::Member).await;
    assert_eq!(code(stepped_down), ErrorCode::Conflict, "the last admin");
    club.remove(&bob, FIRST, &bob).await.unwrap();
    assert_eq!(code(club.rename(&bob, FIRST, "x").await), ErrorCode::NotMember);
    club.promote(&alice, FIRST, &carol, Role::Admin).await.unwrap();
    club.promote(&alice, SECOND, &alice, Role::Member).await.unwrap();
    assert_eq!(code(club.add(&alice, FIRST, &dave).await), ErrorCode::Forbidden);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let [alice, bob] = Person::several().await;
    let club = Club::of(&[&alice, &bob]).await;
    let nowhere = Club(GroupId::mint());
    assert_eq!(code(nowhere.read(&alice, FIRST).await), ErrorCode::NotFound);
    assert_eq!(code(nowhere.rename(&alice, FIRST, "x").await), ErrorCode::NotFound);
    assert_eq!(code(nowhere.add(&alice, FIRST, &bob).await), ErrorCode::NotFound);
    assert_eq!(code(nowhere.remove(&alice, FIRST, &bob).await), ErrorCode::NotFound);
    let nobody = UserId::mint();
    assert_eq!(code(create(&alice, "x", &[bob.user(), nobody]).await), ErrorCode::NotFound);
    let path = format!("{}/members/{nobody}", club.path());
    assert_eq!(refused(&alice, Method::PUT, &path, None).await, ErrorCode::NotFound);
    let role = Some(json!({"role": "admin"}));
    assert_eq!(refused(&alice, Method::PUT, &path, role).await, ErrorCode::NotFound);
    let picture = Some(json!({"picture": MediaId::mint()}));
    assert_eq!(refused(&alice, Method::PATCH, &club.path(), picture).await, ErrorCode::NotFound);
}

#[tokio::test]
async fn impossible_requests_are_told_apart() {
    let [alice, bob] = Person::several().await;
    let club = Club::of(&[&alice, &bob]).await;
    let long = "x".repeat(129);
    for (body, expected) in [
        (json!({"name": "x"}), ErrorCode::BadFrame),
        (json!({"members": []}), ErrorCode::BadFrame),
        (json!({"name": 7, "members": []}), ErrorCode::BadFrame),
        (json!({"name": " ", "members": []}), ErrorCode::Invalid),
        (json!({"name": long, "members": []}), ErrorCode::Invalid),
        (json!({"name": "x", "members": ["bob"]}), ErrorCode::Invalid),
    ] {
        let shown = body.to_string();
        let refused = refused(&alice, Method::POST, "v1/groups", Some(body)).await;
        assert_eq!(refused, expected, "{shown}");
    }
    let longest = club.rename(&alice, FIRST, &long[1..]).await;
    assert_eq!(longest.unwrap().name.len(), 128);
    assert_eq!(code(club.rename(&alice, FIRST, &long).await), ErrorCode::Invalid);

    for path in ["v1/groups/g_1", "v1/groups/x/members/y"] {
        let method = if path.contains("members") { Method::PUT } else { Method::GET };
        assert_eq!(refused(&alice, method, path, None).await, ErrorCode::Invalid, "{path}");
    }
    let bob_path = club.member_path(&bob);
    for (body, expected) in [
        (json!({"role": "owner"}), ErrorCode::Invalid),
        (json!({"role": 7}), ErrorCode::BadFrame),
        (json!([]), ErrorCode::BadFrame),
    ] {
        let refused = refused(&alice, Method::PUT, &bob_path, Some(body)).await;
        assert_eq!(refused, expected);
    }
    let put: Result<Group, _> = call(&alice, FIRST, Method::PUT, &bob_path, Some(json!({}))).await;
    assert_eq!(put.unwrap().members.len(), 2, "an empty object is as good as none");

    let mut line = alice.hello(FIRST).await;
    line.catches_up().await;
    let event = json!({"kind": "event", "event": "group.renamed", "name": "x"});
    let event = crate::people::with(club.text("m1"), "body", event);
    assert_eq!(line.is_refused(event).await, ErrorCode::Invalid);
}

#[tokio::test]
async fn nothing_is_served_without_a_token() {
    let [alice] = Person::several().await;
    let club = Club::of(&[&alice]).await;
    let api = alice.at(FIRST).api;
    let calls = [
        (Method::POST, "v1/groups".to_owned()),
        (Method::GET, "v1/groups".to_owned()),
        (Method::GET, club.path()),
        (Method::PATCH, club.path()),
        (Method::PUT, club.member_path(&alice)),
        (Method::DELETE, club.member_path(&alice)),
    ];
    for (method, path) in calls {
        let refused = api.call::<Value>(method, &path, None, None::<&()>).await;
        assert_eq!(code(refused), ErrorCode::Unauthorized);
    }
}
