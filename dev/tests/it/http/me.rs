//! One's own account: profile, settings, devices, blocked users.

use schemas::{DeviceId, ErrorCode, MediaId, UserId};
use serde_json::{Value, json};

use super::{Answer, call};
use crate::people::{FIRST, Person, SECOND};

async fn patch(person: &Person, body: Value) -> Answer {
    call("PATCH", "/v1/me", Some(person.account.token()), Some(&body.to_string())).await
}

#[tokio::test]
async fn what_is_absent_stays_and_null_clears() {
    let [alice] = Person::several().await;
    let mut me = json!({
        "id": alice.user(), "username": alice.name, "name": alice.name, "picture": null,
        "phone": null,
        "settings": {"last_seen": "everyone", "read_receipts": true, "push_preview": false},
    });
    let mut check = async |body: Value, pointer: &str, value: Value| {
        *me.pointer_mut(pointer).unwrap() = value;
        let answer = patch(&alice, body).await;
        assert_eq!((answer.status, answer.json()), (200, me.clone()));
        // Through the other gateway it is the same.
        assert_eq!(alice.at(SECOND).get::<Value>("v1/me").await.unwrap(), me);
    };
    check(json!({}), "/phone", Value::Null).await;
    check(json!({"name": " Alice  B. "}), "/name", json!("Alice  B.")).await;
    check(json!({"phone": "+12345"}), "/phone", json!("+12345")).await;
    check(json!({"settings": {}}), "/phone", json!("+12345")).await;
    check(json!({"settings": {"last_seen": "nobody"}}), "/settings/last_seen", json!("nobody"))
        .await;
    check(json!({"settings": {"read_receipts": false}}), "/settings/read_receipts", json!(false))
        .await;
    check(json!({"settings": {"push_preview": true}}), "/settings/push_preview", json!(true)).await;
    check(json!({"phone": null, "picture": null}), "/phone", Value::Null).await;
    check(json!({"username": "other", "id": UserId::mint()}), "/phone", Value::Null).await;
}

#[tokio::test]
async fn what_cannot_be_changes_nothing() {
    let [alice] = Person::several().await;
    let before = alice.account.me().await.unwrap();
    for (body, code) in [
        (json!({"name": ""}), ErrorCode::Invalid),
        (json!({"name": "x".repeat(129)}), ErrorCode::Invalid),
        (json!({"phone": "12345"}), ErrorCode::Invalid),
        (json!({"picture": "m_x"}), ErrorCode::Invalid),
        (json!({"picture": MediaId::mint()}), ErrorCode::NotFound),
        (json!({"settings": {"last_seen": "friends"}}), ErrorCode::Invalid),
        (json!({"settings": {"last_seen": 7}}), ErrorCode::BadFrame),
        (json!({"settings": {"last_seen": {"nobody": null}}}), ErrorCode::BadFrame),
        (json!({"settings": {"read_receipts": "no"}}), ErrorCode::BadFrame),
        (json!({"settings": []}), ErrorCode::BadFrame),
        (json!({"settings": ["nobody", false]}), ErrorCode::BadFrame),
        (json!({"name": 7}), ErrorCode::BadFrame),
        (json!({"name": "Al", "phone": "x"}), ErrorCode::Invalid),
    ] {
        let answer = patch(&alice, body.clone()).await;
        assert_eq!(answer.status, code.status(), "{body}: {answer:?}");
        answer.is_problem(code);
    }
    assert_eq!(alice.account.me().await.unwrap(), before);
}

#[tokio::test]
async fn a_device_is_unlinked_by_its_user_only_and_once() {
    let [alice, bob] = Person::several().await;
    let desk = alice.link().await;
    for device in [bob.device(), DeviceId::mint()] {
        let path = format!("/v1/me/devices/{device}");
        let answer = call("DELETE", &path, Some(alice.account.token()), None).await;
        answer.is_problem(ErrorCode::NotFound);
    }
    bob.account.me().await.unwrap();

    let devices = desk.at(SECOND).devices().await.unwrap();
    let told: Vec<_> = devices.iter().map(|device| (device.id, device.current)).collect();
    assert_eq!(told, [(alice.device(), false), (desk.device(), true)]);
    assert!(devices[0].linked <= devices[1].linked);
    let path = format!("/v1/me/devices/{}", desk.device());
    let answer = call("DELETE", &path, Some(alice.account.token()), None).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    let again = call("DELETE", &path, Some(alice.account.token()), None).await;
    again.is_problem(ErrorCode::NotFound);
    let left = alice.account.devices().await.unwrap();
    assert_eq!(left.iter().map(|device| device.id).collect::<Vec<_>>(), [alice.device()]);
}

#[tokio::test]
async fn the_blocked_are_listed_in_order_and_once() {
    let [alice, bob, carol] = Person::several().await;
    let list = async || alice.at(SECOND).get::<Value>("v1/me/blocked").await.unwrap();
    let change = async |method: &str, user: UserId| {
        call(method, &format!("/v1/me/blocked/{user}"), Some(alice.account.token()), None).await
    };
    assert_eq!(list().await, json!({"items": []}));
    for user in [carol.user(), bob.user(), carol.user()] {
        let answer = change("PUT", user).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    }
    assert_eq!(list().await, json!({"items": [carol.user(), bob.user()]}));
    change("PUT", alice.user()).await.is_problem(ErrorCode::Invalid);
    change("PUT", UserId::mint()).await.is_problem(ErrorCode::NotFound);
    for user in [carol.user(), carol.user(), UserId::mint()] {
        assert_eq!(change("DELETE", user).await.status, 204, "what is not blocked is unblocked");
    }
    assert_eq!(list().await, json!({"items": [bob.user()]}));
    // It is nobody else's to see.
    let of_bob: Value = bob.at(FIRST).get("v1/me/blocked").await.unwrap();
    assert_eq!(of_bob, json!({"items": []}));
}
