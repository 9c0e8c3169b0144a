//! Where devices are woken, and what they are told then.

use insta::assert_json_snapshot;
use schemas::push::{PushMessage, PushPreview, PushTarget, WebPushKeys};

use crate::people::{bob, with_bob};

#[test]
fn each_kind_of_target() {
    let keys = WebPushKeys { p256dh: "BAU1D1YXj1".into(), auth: "BTBZMqHH6r4Tts7J_aSIgg".into() };
    assert_json_snapshot!([
        PushTarget::Webpush { endpoint: "https://push.example.org/1".into(), keys },
        PushTarget::Fcm { token: "dpH5lCsT:APA91bHq".into() },
        PushTarget::Apns { token: "00fc13adff785122".into(), topic: "org.example.chat".into() },
    ]);
}

#[test]
fn what_a_browser_decrypts() {
    let preview = PushPreview { from: bob(), text: "hi".into() };
    let without = PushMessage::Messages { chat: with_bob(), badge: 3, preview: None };
    let with = PushMessage::Messages { chat: with_bob(), badge: 3, preview: Some(preview) };
    assert_json_snapshot!([without, with]);
}

#[test]
fn keys_are_bytes_of_a_length_with_padding_or_without() {
    let p256dh = format!("B{}", "A".repeat(86));
    let decode =
        |p256dh: &str, auth: &str| WebPushKeys { p256dh: p256dh.into(), auth: auth.into() }.bytes();
    let auth = "BTBZMqHH6r4Tts7J_aSIgg";
    let (key, secret) = decode(&p256dh, auth).unwrap();
    assert_eq!((key[0], secret[0]), (4, 5));
    assert_eq!(decode(&format!("{p256dh}="), &format!("{auth}==")), Some((key, secret)));
    for (p256dh, auth) in
        [("", auth), (&p256dh, ""), (&p256dh, &auth[..20]), (&p256dh[..80], auth), (&p256dh, "+/")]
    {
        assert_eq!(decode(p256dh, auth), None, "{p256dh} {auth}");
    }
}

#[test]
fn no_debug_output_shows_a_secret_or_what_somebody_wrote() {
    let target = PushTarget::Fcm { token: "a token".into() };
    let preview = PushPreview { from: bob(), text: "a text".into() };
    let shown = format!("{target:?} {preview:?}");
    assert!(!shown.contains("a token") && !shown.contains("a text"), "{shown}");
}
