//! Web Push: RFC 8030, with RFC 8291 for what is said and RFC 8292 for who says it.

mod payload;
mod vapid;

use std::time::{Duration, SystemTime};

use reqwest::{
    Client, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use schemas::push::{WebPushKeys, check_endpoint};
use url::Url;

use self::vapid::Vapid;
pub use self::vapid::VapidKey;
use super::{
    Notification, PushOptions, SetupError,
    client::{self, retry_after},
    collapse::Collapse,
    failure::Failure,
    gate::{Gates, Pass},
    loud::Loud,
    options::given,
    provider::Provider,
};

/// How long a push service keeps a message for a browser that is away: four weeks,
/// as FCM at most does, and a message waits 30 days.
pub(super) const TTL: Duration = Duration::from_secs(28 * 24 * 60 * 60);

const KEY: &str = "--vapid-key (or PETREL_VAPID_KEY)";
const SUBJECT: &str = "--vapid-subject (or PETREL_VAPID_SUBJECT)";

/// Sends to browsers.
pub(super) struct WebPush {
    client: Client,
    vapid: Vapid,
    topics: Collapse,
    gates: Gates,
    allow_loopback: bool,
    loud: Loud,
}

/// A browser's subscription.
pub(super) struct Subscription {
    pub(super) endpoint: String,
    pub(super) keys: WebPushKeys,
}

impl WebPush {
    /// As set; none where no key is.
    pub(super) fn new(options: &PushOptions) -> Result<Option<Self>, SetupError> {
        let Some(key) = given(options.vapid_key.as_ref()) else { return Ok(None) };
        let key: VapidKey = key.parse().map_err(|reason| SetupError::bad(KEY, reason))?;
        let subject = given(options.vapid_subject.as_ref())
            .ok_or(SetupError::Missing { given: KEY, missing: SUBJECT })?;
        if !subject.starts_with("mailto:") && !subject.starts_with("https:") {
            return Err(SetupError::bad(SUBJECT, "a mailto: or https: URL is needed"));
        }
        Ok(Some(Self {
            client: client::wary(options)?,
            topics: Collapse::new(key.scalar().as_slice()),
            vapid: Vapid::new(&key, subject)?,
            gates: Gates::new(options),
            allow_loopback: options.push_allow_loopback,
            loud: Loud::default(),
        }))
    }

    pub(super) fn public_key(&self) -> &str {
        self.vapid.public_key()
    }

    /// How long a notification would be held back now; one for an endpoint that
    /// is none is not, and is refused when it is sent.
    pub(super) fn held(&self, endpoint: &str) -> Option<Duration> {
        let origin = Url::parse(endpoint).ok()?.origin().ascii_serialization();
        self.gates.held(&origin)
    }

    /// Endpoints are checked when they are registered; rules may have changed since.
    fn endpoint(&self, subscription: &Subscription) -> Result<Url, Failure> {
        check_endpoint(&subscription.endpoint, self.allow_loopback)
            .map_err(|error| Failure::refused(error.to_string()))
    }
}

impl Provider for WebPush {
    type Target = Subscription;
    const NAME: &'static str = "webpush";
    const SETTING: &'static str = KEY;

    fn enter(&self, target: &Subscription) -> Result<Pass, Failure> {
        let origin = self.endpoint(target)?.origin().ascii_serialization();
        self.gates.enter(Self::NAME, &origin)
    }

    async fn send(
        &self,
        target: &Subscription,
        notification: &Notification,
    ) -> Result<(), Failure> {
        let endpoint = self.endpoint(target)?;
        let body = payload::encrypt(payload::text(notification), &target.keys)
            .ok_or_else(|| Failure::refused("the subscription's keys are none"))?;
        let authorization = self.vapid.authorization(&endpoint.origin().ascii_serialization())?;
        let request = self
            .client
            .post(endpoint)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("ttl", TTL.as_secs())
            .header("urgency", "high")
            .header("topic", self.topics.id(notification.device, notification.chat))
            .body(body);
        judge(&request.send().await?)
    }

    fn loud(&self) -> &Loud {
        &self.loud
    }
}

/// The text of an answer is the push service's business, and not read.
fn judge(answer: &Response) -> Result<(), Failure> {
    let wait = || retry_after(answer.headers(), SystemTime::now());
    let status = answer.status();
    Err(match status {
        status if status.is_success() => return Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => Failure::Gone,
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge,
        StatusCode::TOO_MANY_REQUESTS => Failure::Busy(wait()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let service = answer.url().host_str().unwrap_or_default();
            Failure::Credentials(format!("{} by {service}", status.as_u16()).into())
        }
        StatusCode::REQUEST_TIMEOUT => Failure::Broken(status.to_string().into(), wait()),
        status if status.is_server_error() => Failure::Broken(status.to_string().into(), wait()),
        status => Failure::refused(status.to_string()),
    })
}
