//! Where a device is woken: its push registration with one of three providers.

mod endpoint;
mod message;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    endpoint::{ENDPOINT_MAX, EndpointError, check_endpoint, is_public},
    message::{PREVIEW_MAX, PushMessage, PushPreview},
};

/// `PUT /v1/me/devices/{id}/push`: how a device is reached while it is not connected.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PushTarget {
    /// A browser's subscription (RFC 8030).
    Webpush {
        /// Where its push service takes messages: https, up to 2,048 bytes.
        endpoint: String,
        /// What messages are encrypted with.
        keys: WebPushKeys,
    },
    /// An app's registration with Firebase Cloud Messaging.
    Fcm {
        /// Its registration token, up to 4,096 bytes.
        token: String,
    },
    /// An app's registration with the Apple Push Notification service.
    Apns {
        /// Its device token, in hexadecimal.
        token: String,
        /// The app's bundle id.
        topic: String,
    },
}

/// A browser's keys, as `PushSubscription.getKey` gives them (RFC 8291).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct WebPushKeys {
    /// Its public key: an uncompressed P-256 point of 65 bytes, in base64url.
    pub p256dh: String,
    /// Its authentication secret: 16 bytes, in base64url.
    pub auth: String,
}

impl WebPushKeys {
    /// The key and the secret as bytes, unless they have the wrong length. Whether
    /// the key is a point of the curve is not checked.
    pub fn bytes(&self) -> Option<([u8; 65], [u8; 16])> {
        let decode = |text: &str| BASE64URL.decode(text).ok();
        Some((decode(&self.p256dh)?.try_into().ok()?, decode(&self.auth)?.try_into().ok()?))
    }
}

/// Bytes of the longest FCM registration token.
pub const FCM_TOKEN_MAX: usize = 4_096;
/// Digits of the longest APNs device token.
pub const APNS_TOKEN_MAX: usize = 200;
/// Bytes of the longest APNs topic.
pub const APNS_TOPIC_MAX: usize = 155;

/// Browsers leave the padding out, some libraries do not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl PushTarget {
    /// The provider's name in logs and metrics.
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Webpush { .. } => "webpush",
            Self::Fcm { .. } => "fcm",
            Self::Apns { .. } => "apns",
        }
    }
}

/// Whoever has an endpoint or a token can use it: no log shows one.
impl std::fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PushTarget({})", self.provider())
    }
}
