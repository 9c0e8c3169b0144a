//! From "tell this device" to an answer of its push provider: one sender each
//! for Web Push, FCM and APNs, behind what they have in common (ADR 13).
//!
//! A provider is a server of somebody else's, and for Web Push one that a client
//! named. So nothing here waits for one for longer than a named time, a provider
//! that does not answer is left alone for a while, and no more than so many
//! requests are with one at once: whatever it does, the others' sends go on.

mod apns;
mod backoff;
mod circuit;
mod client;
mod collapse;
mod devices;
mod failure;
mod fcm;
mod gate;
mod loud;
mod options;
mod provider;
mod webpush;

use std::{borrow::Cow, fmt, time::Duration};

use schemas::{
    ChatId, DeviceId,
    push::{PREVIEW_MAX, PushPreview, PushTarget},
};

use self::{apns::Apns, failure::Failure, fcm::Fcm, provider::Deliveries, webpush::WebPush};
pub use self::{
    backoff::backoff,
    failure::{Outcome, SetupError},
    options::{FileOrText, PushOptions},
    webpush::VapidKey,
};

/// What a device is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Which device: its rate is limited, and logs name it.
    pub device: DeviceId,
    /// The chat of the newest message, from its reader's point of view. A later
    /// notification of a chat takes the place of an earlier one.
    pub chat: ChatId,
    /// Messages that wait for the device.
    pub badge: u64,
    /// The newest message, where its reader asked to see it. It passes through FCM
    /// and APNs in the clear.
    pub preview: Option<PushPreview>,
}

/// Whether a notification could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It could.
    Open,
    /// Its provider fails or is busy, for so long.
    Held(Duration),
    /// Its provider is not configured.
    Absent,
}

/// What sends notifications, through whichever providers are configured.
pub struct Senders {
    webpush: Option<WebPush>,
    fcm: Option<Fcm>,
    apns: Option<Apns>,
    deliveries: Deliveries,
    allow_loopback: bool,
}

impl Senders {
    /// Reads keys and credentials, and asks nobody anything yet.
    ///
    /// # Errors
    /// When something is set that cannot work, with what to set instead.
    pub fn new(options: &PushOptions) -> Result<Self, SetupError> {
        let senders = Self {
            webpush: WebPush::new(options)?,
            fcm: Fcm::new(options)?,
            apns: Apns::new(options)?,
            deliveries: Deliveries::new(options),
            allow_loopback: options.push_allow_loopback,
        };
        tracing::info!(?senders, "push");
        Ok(senders)
    }

    /// Sends a notification, or says what became of it; within twice the time that
    /// a provider has to answer.
    pub async fn send(&self, target: &PushTarget, notification: &Notification) -> Outcome {
        // It was checked when it was registered; the rules may have changed since.
        let checked = target.check(self.allow_loopback);
        let checked = checked.map_err(|error| Failure::refused(error.to_string()));
        let notification = &notification.cut();
        let deliveries = &self.deliveries;
        match target {
            PushTarget::Webpush { endpoint, keys } => {
                let (endpoint, keys) = (endpoint.clone(), keys.clone());
                let browser = webpush::Subscription { endpoint, keys };
                let browser = checked.map(|()| &browser);
                deliveries.deliver(self.webpush.as_ref(), browser, notification).await
            }
            PushTarget::Fcm { token } => {
                deliveries.deliver(self.fcm.as_ref(), checked.map(|()| token), notification).await
            }
            PushTarget::Apns { token, topic } => {
                let device = apns::Device { token: token.clone(), topic: topic.clone() };
                let device = checked.map(|()| &device);
                deliveries.deliver(self.apns.as_ref(), device, notification).await
            }
        }
    }

    /// Whether a notification for this target could be sent now. It may still be
    /// held back when it is. It is asked for every message that waits, so it takes
    /// nothing that a notification could need.
    pub fn way(&self, target: &PushTarget) -> Way {
        let held = match target {
            PushTarget::Webpush { endpoint, .. } => {
                self.webpush.as_ref().map(|webpush| webpush.held(endpoint))
            }
            PushTarget::Fcm { .. } => self.fcm.as_ref().map(Fcm::held),
            PushTarget::Apns { .. } => self.apns.as_ref().map(Apns::held),
        };
        match held {
            None => Way::Absent,
            Some(None) => Way::Open,
            Some(Some(pause)) => Way::Held(pause),
        }
    }

    /// What browsers subscribe with, in base64url; none without `--vapid-key`.
    pub fn vapid_public_key(&self) -> Option<&str> {
        self.webpush.as_ref().map(WebPush::public_key)
    }
}

/// Says which providers are configured.
impl fmt::Debug for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Senders")
            .field("webpush", &self.webpush.is_some())
            .field("fcm", &self.fcm.is_some())
            .field("apns", &self.apns.is_some())
            .finish()
    }
}

impl Notification {
    /// The same with a text that a preview holds.
    fn cut(&self) -> Cow<'_, Self> {
        let is_long = |preview: &PushPreview| preview.text.len() > PREVIEW_MAX;
        if !self.preview.as_ref().is_some_and(is_long) {
            return Cow::Borrowed(self);
        }
        let mut shorter = self.clone();
        if let Some(preview) = &mut shorter.preview {
            cut(&mut preview.text);
        }
        Cow::Owned(shorter)
    }
}

/// Cuts a text to what a preview holds, and shows where.
fn cut(text: &mut String) {
    const MORE: char = '…';
    if text.len() > PREVIEW_MAX {
        text.truncate(text.floor_char_boundary(PREVIEW_MAX - MORE.len_utf8()));
        text.push(MORE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for (text, bytes) in [
            ("x".repeat(PREVIEW_MAX), PREVIEW_MAX),
            ("x".repeat(PREVIEW_MAX + 1), PREVIEW_MAX),
            ("ü".repeat(PREVIEW_MAX), PREVIEW_MAX - 1),
            ("😀".repeat(PREVIEW_MAX), PREVIEW_MAX - 1),
            (String::new(), 0),
        ] {
            let mut text = text;
            cut(&mut text);
            assert_eq!(text.len(), bytes, "{text}");
        }
    }
}
