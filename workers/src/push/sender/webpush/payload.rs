//! What a browser is told, so that its push service cannot read it.

use schemas::push::{PushMessage, WebPushKeys};
use web_push_native::{Auth, p256::PublicKey};

use super::Notification;

/// Texts are as long as a multiple of this. One is enough for all but odd previews.
const BLOCK: usize = 1_024;
/// What every push service takes, once it is encrypted to 4,096 bytes.
const TEXT_MAX: usize = 3_993;

/// The text for a notification. Spaces at its end mean nothing to a JSON parser, and
/// hide from the push service whether there is a preview, and how long it is.
pub(super) fn text(notification: &Notification) -> Vec<u8> {
    let message = PushMessage::Messages {
        chat: notification.chat,
        badge: notification.badge,
        preview: notification.preview.clone(),
    };
    let mut text = serde_json::to_vec(&message).unwrap_or_default();
    text.resize(text.len().next_multiple_of(BLOCK).min(TEXT_MAX).max(text.len()), b' ');
    text
}

/// Encrypts a text (RFC 8291); none where the keys are none.
pub(super) fn encrypt(text: Vec<u8>, keys: &WebPushKeys) -> Option<Vec<u8>> {
    let (public, auth) = keys.bytes()?;
    let public = PublicKey::from_sec1_bytes(&public).ok()?;
    web_push_native::encrypt(text, &public, &Auth::from(auth)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use schemas::{ChatId, DeviceId, UserId, push::PushPreview};

    use super::*;
    use crate::push::sender::cut;

    fn notification(preview: Option<&str>) -> Notification {
        let from = UserId::mint();
        let preview = preview.map(|text| PushPreview { from, text: text.into() });
        Notification { device: DeviceId::mint(), chat: ChatId::User(from), badge: 3, preview }
    }

    #[test]
    fn all_texts_have_one_length_and_none_is_too_long() {
        assert_eq!(text(&notification(None)).len(), BLOCK);
        assert_eq!(text(&notification(Some("hi"))).len(), BLOCK);
        let mut worst = notification(Some(&"\u{1}".repeat(10_000)));
        cut(&mut worst.preview.as_mut().unwrap().text);
        assert_eq!(text(&worst).len(), TEXT_MAX);
    }

    #[test]
    fn keys_that_are_none_encrypt_nothing() {
        let good = WebPushKeys {
            p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4".into(),
            auth: "BTBZMqHH6r4Tts7J_aSIgg".into(),
        };
        let encrypted = encrypt(b"{}".to_vec(), &good).unwrap();
        assert_eq!(encrypted.len(), 2 + 86 + 17);
        assert_ne!(encrypted, encrypt(b"{}".to_vec(), &good).unwrap());
        for (p256dh, auth) in [
            ("", good.auth.as_str()),
            ("AAAA", &good.auth),
            (&"A".repeat(87), &good.auth),
            (&format!("B{}", "A".repeat(86)), &good.auth),
            (&good.p256dh, ""),
            (&good.p256dh, "BTBZMqHH6r4Tts7J_aSI"),
            (&good.p256dh, "!"),
        ] {
            let keys = WebPushKeys { p256dh: p256dh.into(), auth: auth.into() };
            assert_eq!(encrypt(b"{}".to_vec(), &keys), None, "{p256dh} {auth}");
        }
    }
}
