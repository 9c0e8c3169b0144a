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
/// Digits of the longest APNs device token: Apple gives no length, and says not to
/// rely on one.
pub const APNS_TOKEN_MAX: usize = 200;
/// Bytes of the longest APNs topic.
pub const APNS_TOPIC_MAX: usize = 155;

/// What a point that is written out begins with (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// Why a target cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A server is not to send there.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// They encrypt nothing.
    #[error("keys: p256dh is 65 bytes and auth is 16 bytes, in base64url")]
    Keys,
    /// It cannot be FCM's.
    #[error("token: 1 to {FCM_TOKEN_MAX} visible ASCII characters")]
    FcmToken,
    /// It cannot be APNs's.
    #[error("token: 1 to {APNS_TOKEN_MAX} hexadecimal digits")]
    ApnsToken,
    /// It is no bundle id.
    #[error("topic: a bundle id, 1 to {APNS_TOPIC_MAX} letters, digits, `-`, `.` and `_`")]
    ApnsTopic,
}

/// Browsers leave the padding out, some libraries do not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl PushTarget {
    /// Checks what can be said of a target without asking anybody; of an endpoint
    /// as [`check_endpoint`] does. Who registers one and who sends to it ask this.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, allow_loopback: bool) -> Result<(), TargetError> {
        match self {
            Self::Webpush { endpoint, keys } => {
                check_endpoint(endpoint, allow_loopback)?;
                let is_point = keys.bytes().is_some_and(|(point, _)| point[0] == UNCOMPRESSED);
                if is_point { Ok(()) } else { Err(TargetError::Keys) }
            }
            Self::Fcm { token } => {
                let is_token = consists_of(token, FCM_TOKEN_MAX, |byte| byte.is_ascii_graphic());
                if is_token { Ok(()) } else { Err(TargetError::FcmToken) }
            }
            Self::Apns { token, topic } => {
                if !consists_of(token, APNS_TOKEN_MAX, |byte| byte.is_ascii_hexdigit()) {
                    return Err(TargetError::ApnsToken);
                }
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                let is_topic = consists_of(topic, APNS_TOPIC_MAX, plain);
                if is_topic { Ok(()) } else { Err(TargetError::ApnsTopic) }
            }
        }
    }

    /// The provider's name in logs and metrics.
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Webpush { .. } => "webpush",
            Self::Fcm { .. } => "fcm",
            Self::Apns { .. } => "apns",
        }
    }
}

/// It becomes a part of a request's path, a header or its body.
fn consists_of(text: &str, longest: usize, of: impl Fn(u8) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(of)
}

/// Whoever has an endpoint or a token can use it: no log shows one.
impl std::fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PushTarget({})", self.provider())
    }
}
