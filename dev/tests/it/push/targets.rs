//! What a device may be woken with, and what it is told.

use dev::{client::ApiError, push_receiver::PushReceiver};
use schemas::{
    ErrorCode, PushTarget,
    http::{PatchMe, PatchSettings},
    push::{PushPreview, WebPushKeys},
};
use serde_json::{Value, json};

use super::{in_a_browser, is_woken, stack, vapid, writes};
use crate::people::{Person, text};

fn at(endpoint: &str) -> PushTarget {
    let keys = WebPushKeys {
        p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4".into(),
        auth: "BTBZMqHH6r4Tts7J_aSIgg".into(),
    };
    PushTarget::Webpush { endpoint: endpoint.into(), keys }
}

#[tokio::test]
async fn a_target_that_cannot_be_is_refused() {
    let [alice] = Person::several().await;
    let keys = |p256dh: &str, auth: &str| PushTarget::Webpush {
        endpoint: "https://push.example.net/1".into(),
        keys: WebPushKeys { p256dh: p256dh.into(), auth: auth.into() },
    };
    let apns =
        |token: &str, topic: &str| PushTarget::Apns { token: token.into(), topic: topic.into() };
    for target in [
        at("http://push.example.net/1"),
        at("https://127.0.0.1/1"),
        at("http://127.0.0.1:8080/1"),
        at("https://localhost/1"),
        at("https://10.0.0.1/1"),
        at("https://[::ffff:192.168.0.1]/1"),
        at("https://user:password@push.example.net/1"),
        at("https://push.example.net:22/1"),
        at("https://metadata/1"),
        at("ftp://push.example.net/1"),
        at("push"),
        at(&format!("https://push.example.net/{}", "x".repeat(2_048))),
        keys("", ""),
        keys("AAAA", "BTBZMqHH6r4Tts7J_aSIgg"),
        PushTarget::Fcm { token: String::new() },
        PushTarget::Fcm { token: "two words".into() },
        PushTarget::Fcm { token: "x".repeat(4_097) },
        apns("no hex", "com.example.chat"),
        apns("00ff", ""),
        apns("00ff", "com.example\r\nx: y"),
        apns("", "com.example.chat"),
    ] {
        let refused = alice.account.set_push(Some(&target)).await;
        assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::Invalid), "{}", json!(target));
    }
    for target in [
        at("https://push.example.net/1"),
        PushTarget::Fcm { token: "x".repeat(4_096) },
        apns(&"0f".repeat(32), "com.example.chat"),
    ] {
        alice.account.set_push(Some(&target)).await.unwrap();
    }
    alice.account.set_push(None).await.unwrap();
    alice.account.set_push(None).await.unwrap();
}

#[tokio::test]
async fn only_ones_own_devices_are_woken_as_one_says() {
    let [alice, bob] = Person::several().await;
    let path = format!("v1/me/devices/{}/push", bob.device());
    let target = json!({"kind": "fcm", "token": "t"});
    let refused: Result<Value, ApiError> = alice
        .account
        .api
        .call(reqwest::Method::PUT, &path, Some(alice.account.token()), Some(&target))
        .await;
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::NotFound));
    let path = format!("v1/me/devices/{}/push", alice.device());
    let bad_frames =
        [json!({}), json!({"kind": "fcm"}), json!([])].map(|bad| (bad, ErrorCode::BadFrame));
    let unknown = (json!({"kind": "smoke"}), ErrorCode::Invalid);
    for (bad, code) in bad_frames.into_iter().chain([unknown]) {
        let refused: Result<Value, ApiError> = alice
            .account
            .api
            .call(reqwest::Method::PUT, &path, Some(alice.account.token()), Some(&bad))
            .await;
        assert_eq!(refused.unwrap_err().code(), Some(code), "{bad}");
    }
}

#[tokio::test]
async fn browsers_find_the_key_to_subscribe_with() {
    let [alice] = Person::several().await;
    let key = vapid(&alice.account).await;
    assert_eq!(key.len(), 87, "65 bytes in base64url");
}

#[tokio::test]
async fn what_was_written_is_told_only_to_who_asked_for_it() {
    let receiver = PushReceiver::start().await.unwrap();
    let stack = stack(&receiver).start().await.unwrap();
    let [alice, bob, carol] = Person::several_on(&stack).await;
    let of_bob = in_a_browser(&bob, &receiver).await;
    let of_carol = in_a_browser(&carol, &receiver).await;
    let settings = PatchSettings { push_preview: Some(true), ..PatchSettings::default() };
    let patch = PatchMe { settings: Some(settings), ..PatchMe::default() };
    carol.account.patch_me(&patch).await.unwrap();
    for person in [&bob, &carol] {
        writes(&alice, text(person.user(), person, "meet me at noon")).await;
    }
    assert_eq!(is_woken(&of_bob, &receiver).await.preview, None);
    let preview = PushPreview { from: alice.user(), text: "meet me at noon".into() };
    assert_eq!(is_woken(&of_carol, &receiver).await.preview, Some(preview));
}
