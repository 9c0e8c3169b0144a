//! Firebase Cloud Messaging, HTTP v1: for Android.

mod answer;
mod token;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::Client;
use serde_json::{Value, json};

use self::token::{AccessTokens, Account};
use super::{
    Notification, PushOptions, SetupError,
    client::{self, retry_after},
    collapse::Collapse,
    failure::Failure,
    gate::{Gate, Pass},
    loud::Loud,
    options::FileOrText,
    provider::Provider,
    webpush::TTL,
};

const CREDENTIALS: &str = "--fcm-credentials (or PETREL_FCM_CREDENTIALS)";
const URL: &str = "--fcm-url (or PETREL_FCM_URL)";

/// Sends to Android devices.
pub(super) struct Fcm {
    client: Client,
    /// Where messages of the project are sent.
    url: String,
    tokens: AccessTokens,
    collapse: Collapse,
    gate: Arc<Gate>,
    loud: Loud,
}

impl Fcm {
    /// As set; none where no credentials are.
    pub(super) fn new(options: &PushOptions) -> Result<Option<Self>, SetupError> {
        let given = options.fcm_credentials.as_ref();
        let Some(text) = FileOrText::read(given, CREDENTIALS)? else { return Ok(None) };
        let account = Account::parse(&text)?;
        let base = client::base(URL, &options.fcm_url)?;
        let client = client::trusting(options)?;
        Ok(Some(Self {
            url: format!("{base}/v1/projects/{}/messages:send", account.project()),
            collapse: Collapse::new(account.secret()),
            tokens: AccessTokens::new(client.clone(), account)?,
            client,
            gate: Gate::new(Self::NAME, Self::NAME, options),
            loud: Loud::default(),
        }))
    }

    /// How long a notification would be held back now.
    pub(super) fn held(&self) -> Option<Duration> {
        self.gate.held()
    }

    async fn post(&self, bearer: &str, message: &Value) -> Result<(), Failure> {
        let request = self.client.post(&self.url).bearer_auth(bearer).json(message);
        let answer = request.send().await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        let wait = retry_after(answer.headers(), SystemTime::now());
        Err(answer::judge(status, wait, &client::body(answer).await?))
    }
}

impl Provider for Fcm {
    type Target = String;
    const NAME: &'static str = "fcm";
    const SETTING: &'static str = CREDENTIALS;

    fn enter(&self, _: &String) -> Result<Pass, Failure> {
        self.gate.enter()
    }

    async fn send(&self, token: &String, notification: &Notification) -> Result<(), Failure> {
        let collapse = self.collapse.id(notification.device, notification.chat);
        let message = message(token, &collapse, notification);
        let bearer = self.tokens.current().await?;
        let sent = self.post(&bearer, &message).await;
        if !matches!(sent, Err(Failure::Credentials(_))) {
            return sent;
        }
        // It may have been revoked before its time. Another one, and once more.
        match self.tokens.renew(&bearer).await? {
            Some(renewed) => self.post(&renewed, &message).await,
            None => sent,
        }
    }

    fn loud(&self) -> &Loud {
        &self.loud
    }
}

/// A data message: it wakes the app, which decides what to show. Google can read
/// it, so it says nothing of the chat unless there is a preview.
fn message(token: &str, collapse: &str, notification: &Notification) -> Value {
    // All values have to be strings.
    let mut data = json!({ "type": "messages", "badge": notification.badge.to_string() });
    if let Some(preview) = &notification.preview {
        data["chat"] = json!(notification.chat);
        data["from"] = json!(preview.from);
        data["text"] = json!(preview.text);
    }
    json!({
        "message": {
            "token": token,
            "data": data,
            "android": {
                "priority": "high",
                "ttl": format!("{}s", TTL.as_secs()),
                "collapse_key": collapse,
            },
        }
    })
}
