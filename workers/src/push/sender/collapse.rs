//! Which notifications replace each other, without saying what they are about.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemas::{ChatId, DeviceId};

/// Names a chat to a provider by a keyed hash. It is the same on every worker, and
/// differs from device to device: a provider learns that two notifications of one
/// device are about the same chat, and not who is in it.
pub(super) struct Collapse(hmac::Key);

/// Of a hash: 32 characters of base64url, as a Web Push topic may have.
const BYTES: usize = 24;

impl Collapse {
    /// Keyed by a secret that all workers have.
    pub(super) fn new(secret: &[u8]) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"petrel push collapse");
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    /// 32 characters of base64url.
    pub(super) fn id(&self, device: DeviceId, chat: ChatId) -> String {
        let hash = hmac::sign(&self.0, format!("{device}.{chat}").as_bytes());
        URL_SAFE_NO_PAD.encode(&hash.as_ref()[..BYTES])
    }
}

#[cfg(test)]
mod tests {
    use schemas::{GroupId, UserId};

    use super::*;

    #[test]
    fn a_name_is_for_one_chat_of_one_device_under_one_key() {
        let (device, chat) = (DeviceId::mint(), ChatId::User(UserId::mint()));
        let id = Collapse::new(b"secret").id(device, chat);
        assert_eq!(id, Collapse::new(b"secret").id(device, chat));
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        for other in [
            Collapse::new(b"other").id(device, chat),
            Collapse::new(b"secret").id(DeviceId::mint(), chat),
            Collapse::new(b"secret").id(device, ChatId::Group(GroupId::mint())),
        ] {
            assert_ne!(id, other);
        }
    }
}
