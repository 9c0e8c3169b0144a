//! The Apple Push Notification service, over HTTP/2 with tokens of our own.

mod answer;
mod token;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reqwest::{Client, header::AUTHORIZATION};
use serde_json::{Value, json};

use self::token::ProviderTokens;
use super::{
    Notification, PushOptions, SetupError,
    client::{self, retry_after},
    collapse::Collapse,
    failure::Failure,
    gate::{Gate, Pass},
    loud::Loud,
    options::{FileOrText, given},
    provider::Provider,
    webpush::TTL,
};

const KEY: &str = "--apns-key (or PETREL_APNS_KEY)";
const KEY_ID: &str = "--apns-key-id (or PETREL_APNS_KEY_ID)";
const TEAM_ID: &str = "--apns-team-id (or PETREL_APNS_TEAM_ID)";
const URL: &str = "--apns-url (or PETREL_APNS_URL)";
/// What an app shows where it does not know more: a key of its `Localizable.strings`.
const ALERT: &str = "petrel.new_messages";

/// Sends to Apple's devices.
pub(super) struct Apns {
    client: Client,
    base: String,
    tokens: ProviderTokens,
    collapse: Collapse,
    gate: Arc<Gate>,
    loud: Loud,
}

/// An app on a device.
pub(super) struct Device {
    pub(super) token: String,
    pub(super) topic: String,
}

impl Apns {
    /// As set; none where no key is.
    pub(super) fn new(options: &PushOptions) -> Result<Option<Self>, SetupError> {
        let Some(pem) = FileOrText::read(options.apns_key.as_ref(), KEY)? else {
            return Ok(None);
        };
        let missing = |missing| SetupError::Missing { given: KEY, missing };
        let key_id = given(options.apns_key_id.as_ref()).ok_or(missing(KEY_ID))?;
        let team = given(options.apns_team_id.as_ref()).ok_or(missing(TEAM_ID))?;
        Ok(Some(Self {
            client: client::http2(options)?,
            base: client::base(URL, &options.apns_url)?,
            tokens: ProviderTokens::new(&pem, key_id, team)?,
            collapse: Collapse::new(pem.trim().as_bytes()),
            gate: Gate::new(Self::NAME, Self::NAME, options),
            loud: Loud::default(),
        }))
    }

    /// How long a notification would be held back now.
    pub(super) fn held(&self) -> Option<Duration> {
        self.gate.held()
    }

    async fn post(
        &self,
        device: &Device,
        notification: &Notification,
        token: &str,
    ) -> Result<(), Error> {
        let collapse = self.collapse.id(notification.device, notification.chat);
        let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + TTL;
        let request = self
            .client
            .post(format!("{}/3/device/{}", self.base, device.token))
            .header(AUTHORIZATION, format!("bearer {token}"))
            .header("apns-topic", &device.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-expiration", expires.as_secs())
            .header("apns-collapse-id", &collapse)
            .json(&payload(&collapse, notification));
        let answer = request.send().await.map_err(Failure::from)?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        let wait = retry_after(answer.headers(), SystemTime::now());
        Err(answer::judge(status, wait, &client::body(answer).await?))
    }
}

/// Why Apple did not take a notification.
#[derive(Debug, PartialEq, Eq)]
enum Error {
    /// Our token is too old for it.
    Expired,
    /// As anybody's.
    Failure(Failure),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Provider for Apns {
    type Target = Device;
    const NAME: &'static str = "apns";
    const SETTING: &'static str = KEY;

    fn enter(&self, _: &Device) -> Result<Pass, Failure> {
        self.gate.enter()
    }

    async fn send(&self, device: &Device, notification: &Notification) -> Result<(), Failure> {
        let token = self.tokens.current()?;
        let mut sent = self.post(device, notification, &token).await;
        if sent == Err(Error::Expired)
            && let Some(renewed) = self.tokens.renew(&token)?
        {
            sent = self.post(device, notification, &renewed).await;
        }
        sent.map_err(|error| match error {
            Error::Expired => Failure::Credentials("403 ExpiredProviderToken".into()),
            Error::Failure(failure) => failure,
        })
    }

    fn loud(&self) -> &Loud {
        &self.loud
    }
}

/// Apple can read it, so it says nothing of the chat unless there is a preview. The
/// app's extension may fetch what is new, and show it instead. Its longest preview
/// is far below the 4,096 bytes that Apple takes.
fn payload(collapse: &str, notification: &Notification) -> Value {
    let mut payload = json!({
        "aps": {
            "alert": { "loc-key": ALERT },
            "badge": notification.badge,
            "sound": "default",
            "mutable-content": 1,
            "thread-id": collapse,
        },
        "type": "messages",
    });
    if let Some(preview) = &notification.preview {
        payload["aps"]["alert"] = json!({ "body": preview.text });
        payload["chat"] = json!(notification.chat);
        payload["from"] = json!(preview.from);
    }
    payload
}

#[cfg(test)]
mod tests {
    use schemas::{ChatId, DeviceId, UserId, push::PushPreview};

    use super::*;
    use crate::push::sender::cut;

    #[test]
    fn the_longest_payload_is_one_that_apple_takes() {
        let mut text = "\u{1}".repeat(10_000);
        cut(&mut text);
        let from = UserId::mint();
        let notification = Notification {
            device: DeviceId::mint(),
            chat: ChatId::User(from),
            badge: u64::MAX,
            preview: Some(PushPreview { from, text }),
        };
        let bytes = payload(&"x".repeat(32), &notification).to_string().len();
        assert!(bytes <= 4_096, "{bytes}");
    }
}
