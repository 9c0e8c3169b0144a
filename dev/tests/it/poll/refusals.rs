//! Sends that are refused: as on the socket, each with its status.

use nats::Topology;
use schemas::{ErrorCode, MediaId, UserId, limits::BODY_BYTES};
use serde_json::{Value, json};

use super::{LONG, acks, code, polls, sends};
use crate::{
    http::call_at,
    people::{FIRST, Person, SECOND, ids, text, with},
    support,
};

#[tokio::test]
async fn what_is_wrong_with_a_send_is_said_as_on_the_socket() {
    let [alice, bob, carol] = Person::several().await;
    alice.account.block(carol.user()).await.unwrap();
    let fine = text("m1", &bob, "hi");
    let media = json!({
        "kind": "media", "media": MediaId::mint(), "name": "cat.jpg", "mime": "image/jpeg",
        "size": 7,
    });
    let large = json!({"kind": "text", "text": "x".repeat(BODY_BYTES)});
    let event = json!({"kind": "event", "event": "member.left", "user": bob.user()});
    let without = |field: &str| {
        let mut message = fine.clone();
        message.as_object_mut().unwrap().remove(field);
        message
    };
    for (message, expected) in [
        (with(fine.clone(), "chat", UserId::mint()), ErrorCode::NotFound),
        (with(fine.clone(), "chat", schemas::GroupId::mint()), ErrorCode::NotFound),
        (with(fine.clone(), "body", media), ErrorCode::NotFound),
        (with(fine.clone(), "chat", carol.user()), ErrorCode::Blocked),
        (with(fine.clone(), "chat", "x"), ErrorCode::Invalid),
        (with(fine.clone(), "id", "a.b"), ErrorCode::Invalid),
        (with(fine.clone(), "body", event), ErrorCode::Invalid),
        (with(fine.clone(), "body", large), ErrorCode::TooLarge),
        (with(fine.clone(), "at", "now"), ErrorCode::BadFrame),
        (with(fine.clone(), "id", 7), ErrorCode::BadFrame),
        (without("id"), ErrorCode::BadFrame),
        (without("chat"), ErrorCode::BadFrame),
        (without("body"), ErrorCode::BadFrame),
    ] {
        assert_eq!(code(sends(&alice.at(FIRST), message.clone()).await), expected, "{message:.80}");
    }
    // None of it holds the next one up, and a `type` may be left out.
    sends(&alice.at(FIRST), without("type")).await.unwrap();
    assert_eq!(ids(&polls(&bob.at(SECOND), LONG).await.unwrap()), ["m1"]);
    // Whom she blocked is told nothing of it.
    sends(&carol.at(FIRST), text("c1", &alice, "hi")).await.unwrap();
    assert_eq!(polls(&alice.at(FIRST), 0).await.unwrap(), []);
}

#[tokio::test]
async fn other_bodies_are_looked_at_alike() {
    let [alice, bob] = Person::several().await;
    let account = alice.at(FIRST);
    let says = async |path: &str, body: Value| code(account.post::<Value>(path, Some(&body)).await);
    for (body, expected) in [
        (json!({"seq": -1}), ErrorCode::Invalid),
        (json!({"seq": "1"}), ErrorCode::BadFrame),
        (json!({"seq": 1.5}), ErrorCode::BadFrame),
        (json!({}), ErrorCode::BadFrame),
        (json!([1]), ErrorCode::BadFrame),
    ] {
        assert_eq!(says("v1/inbox/ack", body.clone()).await, expected, "{body}");
    }
    for (body, expected) in [
        (json!({"chat": "x", "marks": {}}), ErrorCode::Invalid),
        (json!({"chat": bob.user(), "marks": {"x": 1}}), ErrorCode::Invalid),
        (json!({"chat": bob.user(), "marks": {bob.user().to_string(): "x"}}), ErrorCode::BadFrame),
        (json!({"chat": bob.user()}), ErrorCode::BadFrame),
    ] {
        assert_eq!(says("v1/read", body.clone()).await, expected, "{body}");
    }
    let no_marks = json!({"chat": bob.user(), "marks": {}});
    account.post::<()>("v1/read", Some(&no_marks)).await.unwrap();
    let no_text = reqwest::Client::new()
        .post(account.api.base().join("v1/messages").unwrap())
        .bearer_auth(account.token())
        .body(&b"{\"id\":\"\xff\"}"[..])
        .send()
        .await
        .unwrap();
    assert_eq!(no_text.status(), 400);
}

#[tokio::test]
async fn a_full_inbox_holds_nothing_else_up() {
    let topology = Topology { inbox_max_messages: 2, ..Topology::default() };
    let stack = support::stack().topology(topology).limits(false).start().await.unwrap();
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let account = alice.at(FIRST);
    for id in ["m1", "m2"] {
        sends(&account, text(id, &bob, "hi")).await.unwrap();
    }
    let url = stack.gateways()[FIRST].url();
    let full = text("m3", &bob, "hi").to_string();
    let refused = call_at(&url, "POST", "/v1/messages", Some(account.token()), Some(&full)).await;
    assert_eq!(refused.status, 507);
    refused.is_problem(ErrorCode::InboxFull);
    sends(&account, text("m1", &carol, "hi")).await.unwrap();
    let items = polls(&bob.at(FIRST), LONG).await.unwrap();
    acks(&bob.at(FIRST), items[1].seq).await.unwrap();
    // There is room when the acknowledgement is answered, for any other one, too.
    sends(&account, text("m4", &bob, "hi")).await.unwrap();
    sends(&account, text("m3", &bob, "hi")).await.unwrap();
    assert_eq!(ids(&polls(&bob.at(FIRST), LONG).await.unwrap()), ["m4", "m3"]);
}

#[tokio::test]
async fn who_sends_too_fast_is_told_how_long_to_wait() {
    let stack = support::stack().env("PETREL_USER_LIMIT_SENDS", "2,1/s").start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let account = alice.at(FIRST);
    for id in ["m1", "m2"] {
        sends(&account, text(id, &bob, "hi")).await.unwrap();
    }
    let url = stack.gateways()[FIRST].url();
    let message = text("m3", &bob, "hi").to_string();
    let refused =
        call_at(&url, "POST", "/v1/messages", Some(account.token()), Some(&message)).await;
    refused.is_problem(ErrorCode::RateLimited);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(ids(&polls(&bob.at(FIRST), LONG).await.unwrap()), ["m1", "m2"]);
}
