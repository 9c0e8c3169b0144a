//! Registering, logging in, renewing tokens.

use schemas::{CloseCode, DeviceId, ErrorCode, limits::PASSWORD_BYTES};
use serde_json::{Value, json};
use ulid::Ulid;

use super::{Answer, call};
use crate::people::{FIRST, PASSWORD, Person, SECOND, ids, text, with};

async fn post(path: &str, body: &Value) -> Answer {
    call("POST", path, None, Some(&body.to_string())).await
}

/// A registration that is good.
fn registration() -> Value {
    json!({"username": format!("r-{}", Ulid::generate()), "password": PASSWORD, "name": "R."})
}

#[tokio::test]
async fn a_registration_is_a_login_on_a_first_device() {
    let mut asked = registration();
    asked["phone"] = json!("+4915112345678");
    asked["device"] = json!({"name": "my phone", "platform": "ios"});
    let answer = post("/v1/register", &asked).await;
    assert_eq!((answer.status, answer.header("content-type")), (201, Some("application/json")));
    let session = answer.json();
    let mut fields: Vec<_> = session.as_object().unwrap().keys().collect();
    fields.sort_unstable();
    assert_eq!(fields, ["access_token", "device", "expires_in", "refresh_token", "user"]);
    assert_eq!(session["expires_in"], 15 * 60);
    assert!(session["user"].as_str().unwrap().starts_with("u_"));

    let token = session["access_token"].as_str();
    let me = call("GET", "/v1/me", token, None).await.json();
    let expected = json!({
        "id": session["user"], "username": asked["username"], "name": "R.", "picture": null,
        "phone": "+4915112345678",
        "settings": {"last_seen": "everyone", "read_receipts": true, "push_preview": false},
    });
    assert_eq!(me, expected);
    let devices = call("GET", "/v1/me/devices", token, None).await.json();
    let device = &devices["items"][0];
    let expected = json!({
        "id": session["device"], "name": "my phone", "platform": "ios",
        "linked": device["linked"], "current": true,
    });
    assert_eq!(devices, json!({"items": [expected]}));
}

#[tokio::test]
async fn a_username_is_taken_in_any_case() {
    let name = format!("Ältere-{}", Ulid::generate());
    let first = with(registration(), "username", name.as_str());
    assert_eq!(post("/v1/register", &first).await.status, 201);
    for again in [name.clone(), name.to_uppercase(), name.to_lowercase()] {
        let taken = with(registration(), "username", again.as_str());
        post("/v1/register", &taken).await.is_problem(ErrorCode::Conflict);
        let login = json!({"username": again, "password": PASSWORD});
        assert_eq!(post("/v1/login", &login).await.status, 200);
    }
    // Of many at once, one gets it.
    let asked = registration();
    let many = futures_util::future::join_all((0..8).map(|_| post("/v1/register", &asked))).await;
    let mut statuses: Vec<_> = many.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn what_a_registration_cannot_say_is_invalid() {
    let long = |length: usize| "x".repeat(length);
    for (field, value) in [
        ("username", json!("")),
        ("username", json!(long(65))),
        ("username", json!("a b")),
        ("username", json!("a\u{0}")),
        ("username", json!("*")),
        ("username", json!("a/b")),
        ("password", json!("")),
        ("password", json!(long(PASSWORD_BYTES + 1))),
        ("name", json!("")),
        ("name", json!("  ")),
        ("name", json!(long(129))),
        ("name", json!("a\nb")),
        ("phone", json!("")),
        ("phone", json!("0151")),
        ("phone", json!("+1234")),
        ("phone", json!("+1234567890123456")),
        ("phone", json!("+12345x")),
        ("device", json!({"id": DeviceId::mint()})),
        ("device", json!({"name": ""})),
        ("device", json!({"platform": long(129)})),
    ] {
        let answer = post("/v1/register", &with(registration(), field, &value)).await;
        assert_eq!(answer.status, 400, "{field} {value:.20}: {answer:?}");
        answer.is_problem(ErrorCode::Invalid);
    }
    for field in ["username", "password", "name"] {
        let mut missing = registration();
        missing.as_object_mut().unwrap().remove(field);
        post("/v1/register", &missing).await.is_problem(ErrorCode::BadFrame);
        let null = with(registration(), field, Value::Null);
        post("/v1/register", &null).await.is_problem(ErrorCode::BadFrame);
    }
    let longest = with(registration(), "password", long(PASSWORD_BYTES));
    let longest = with(with(longest, "name", "ä".repeat(128)), "later", json!([1]));
    assert_eq!(post("/v1/register", &longest).await.status, 201);
    let login = json!({"username": longest["username"], "password": longest["password"]});
    assert_eq!(post("/v1/login", &login).await.status, 200);
}

#[tokio::test]
async fn an_impossible_value_is_told_from_a_mistyped_one() {
    let [alice] = Person::several().await;
    let login = json!({"username": alice.name, "password": PASSWORD});
    for (device, code) in [
        (json!({"id": "d_x"}), ErrorCode::Invalid),
        (json!({"id": alice.user()}), ErrorCode::Invalid),
        (json!({"id": 7}), ErrorCode::BadFrame),
        (json!("phone"), ErrorCode::BadFrame),
        (json!({"name": 7}), ErrorCode::BadFrame),
    ] {
        let answer = post("/v1/login", &with(login.clone(), "device", device)).await;
        answer.is_problem(code);
    }
}

#[tokio::test]
async fn a_wrong_login_does_not_say_what_is_wrong() {
    let [alice, bob] = Person::several().await;
    let mut told = Vec::new();
    for (username, password) in [
        (alice.name.as_str(), "wrong horse"),
        (&alice.name, ""),
        (&alice.name, &"x".repeat(PASSWORD_BYTES + 1)),
        (&Ulid::generate().to_string(), PASSWORD),
        ("", PASSWORD),
        ("no name at all", PASSWORD),
    ] {
        let login = json!({"username": username, "password": password});
        let answer = post("/v1/login", &login).await;
        answer.is_problem(ErrorCode::Unauthorized);
        told.push(answer.text);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    for device in [DeviceId::mint(), bob.device()] {
        let login = json!({"username": alice.name, "password": PASSWORD, "device": {"id": device}});
        post("/v1/login", &login).await.is_problem(ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn a_login_on_a_device_gives_it_back_with_its_inbox() {
    let [alice, bob] = Person::several().await;
    bob.connect(SECOND).await.sends(text("m1", &alice, "hi")).await;
    let again = alice.log_in(Some(alice.device())).await;
    assert_eq!((again.user(), again.device()), (alice.user(), alice.device()));
    assert_eq!(ids(&again.hello(FIRST).await.catches_up().await.items), ["m1"]);
    // Another one starts with an empty inbox, and gets what is sent from now on.
    let other = alice.link().await;
    assert_ne!(other.device(), alice.device());
    assert!(other.hello(FIRST).await.catches_up().await.items.is_empty());
    assert_eq!(alice.log_in(None).await.account.devices().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_login_on_a_device_closes_the_socket_that_it_had() {
    let [alice] = Person::several().await;
    let desk = alice.link().await;
    let (mut other, mut line) = (desk.connect(SECOND).await, alice.connect(SECOND).await);
    let again = alice.log_in(Some(alice.device())).await;
    line.is_closed(CloseCode::Unauthorized).await;
    // Its token is as good as the socket was.
    let mut line = alice.open(SECOND).await;
    line.say_hello(alice.account.token(), 0).await;
    line.is_closed(CloseCode::Unauthorized).await;
    again.connect(SECOND).await.is_quiet().await;
    other.is_quiet().await;
}

async fn renew(refresh_token: &str) -> Answer {
    post("/v1/token", &json!({"refresh_token": refresh_token})).await
}

/// Renews; the newer refresh token.
async fn renewed(refresh_token: &str) -> String {
    let answer = renew(refresh_token).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again() {
    let [alice] = Person::several().await;
    let mut token = alice.account.session.refresh_token.clone();
    for _ in 0..3 {
        let lost = renewed(&token).await;
        let newer = renewed(&token).await;
        assert_ne!(newer, token);
        assert_ne!(newer, lost);
        token = newer;
    }
    let answer = renew(&token).await.json();
    assert_eq!(
        (&answer["user"], &answer["device"]),
        (&json!(alice.user()), &json!(alice.device()))
    );
    // Older access tokens last as long as they said.
    alice.account.me().await.unwrap();
    let access = answer["access_token"].as_str();
    assert_eq!(call("GET", "/v1/me", access, None).await.status, 200);
}

#[tokio::test]
async fn a_token_used_again_after_a_newer_one_revokes_the_device_and_no_more() {
    let [alice, bob] = Person::several().await;
    let desk = alice.link().await;
    let (mut line, mut other) = (alice.connect(SECOND).await, desk.connect(FIRST).await);
    let first = alice.account.session.refresh_token.clone();
    let second = renewed(&first).await;
    let third = renewed(&second).await;

    renew(&first).await.is_problem(ErrorCode::Unauthorized);
    line.is_closed(CloseCode::Unauthorized).await;
    for token in [&third, &second, &first] {
        renew(token).await.is_problem(ErrorCode::Unauthorized);
    }
    let refused = alice.at(SECOND).me().await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::Unauthorized));
    let mut line = alice.open(SECOND).await;
    line.say_hello(alice.account.token(), 0).await;
    line.is_closed(CloseCode::Unauthorized).await;

    // The other device is not concerned; this one is still linked, its messages
    // wait, and a login gives it back.
    other.is_quiet().await;
    bob.connect(FIRST).await.sends(text("m1", &alice, "hi")).await;
    assert_eq!(other.gets().await.id.as_str(), "m1");
    let again = alice.log_in(Some(alice.device())).await;
    assert_eq!(ids(&again.hello(SECOND).await.catches_up().await.items), ["m1"]);
    renewed(&again.account.session.refresh_token).await;
}

#[tokio::test]
async fn a_refresh_token_that_is_none_is_refused() {
    let [alice] = Person::several().await;
    for token in ["", "nonsense", "a.b.c", alice.account.token()] {
        renew(token).await.is_problem(ErrorCode::Unauthorized);
    }
    let expired = crate::support::resign(&alice.account.session.refresh_token, |claims| {
        claims["exp"] = json!(1);
    });
    renew(&expired).await.is_problem(ErrorCode::Unauthorized);
    post("/v1/token", &json!({})).await.is_problem(ErrorCode::BadFrame);
    // None of them has revoked anything.
    renewed(&alice.account.session.refresh_token).await;
}
