//! The push senders against providers that check what they are sent.

mod apns;
mod fcm;
mod isolation;
mod setup;
mod webpush;

use std::time::{Duration, SystemTime};

use clap::Parser;
use dev::push_receiver::{Answer, PushReceiver};
use schemas::{
    ChatId, DeviceId, UserId,
    push::{PushPreview, PushTarget},
};
use workers::push::sender::{Notification, Outcome, PushOptions, Senders};

use crate::support::flag;

/// A key of these tests, as `openssl ecparam -name prime256v1 -genkey -noout
/// -outform DER | openssl base64 -A` makes one.
const VAPID_KEY: &str = "MHcCAQEEIBuCoXU/Nu4dn/rICaZz5ng/tFNJSqRKvQ7wxfJKg6RWoAoGCCqGSM49AwEHoUQDQgAEBTUPVhePWWtzBiioDXCmDQrlzBivQ680gFgt7WL8q76R+izVjvBXjOutGS5f1kEAJLGZCG4DlQEHO8yLBT+V1g==";

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    push: PushOptions,
}

/// Options as an operator gives them.
fn options(flags: &[&str]) -> PushOptions {
    let options = Command::try_parse_from([&["petrel"], flags].concat());
    options.unwrap_or_else(|error| panic!("{error}")).push
}

/// A receiver, and what sends to it.
struct World {
    receiver: PushReceiver,
    senders: Senders,
}

impl World {
    /// No device is told too often here, unless the flags say otherwise.
    async fn new(flags: &[&str]) -> Self {
        let receiver = PushReceiver::start().await.unwrap();
        let senders = senders(&receiver, flags);
        Self { receiver, senders }
    }

    fn browser(&self) -> PushTarget {
        self.receiver.browser(self.senders.vapid_public_key().unwrap())
    }

    /// One target of each kind.
    fn all(&self) -> [PushTarget; 3] {
        [self.browser(), self.receiver.android(), self.receiver.iphone()]
    }

    async fn send(&self, target: &PushTarget, notification: &Notification) -> Outcome {
        self.senders.send(target, notification).await
    }

    /// What becomes of a notification that is answered like this.
    async fn answered(&self, target: &PushTarget, answer: Answer) -> Outcome {
        self.receiver.answer(target, [answer]);
        self.send(target, &notification()).await
    }
}

fn senders(receiver: &PushReceiver, flags: &[&str]) -> Senders {
    let settings = receiver.settings().into_iter();
    let given: Vec<_> = settings.map(|(variable, value)| flag(variable, &value)).collect();
    let mut all: Vec<&str> = given.iter().map(String::as_str).collect();
    let vapid = format!("--vapid-key={VAPID_KEY}");
    all.extend([&vapid, "--vapid-subject=mailto:ops@example.org"]);
    if !flags.iter().any(|flag| flag.starts_with("--push-device")) {
        all.push("--push-device-every-secs=0");
    }
    all.extend(flags);
    Senders::new(&options(&all)).unwrap()
}

/// About a chat of its own, without a preview.
fn notification() -> Notification {
    let chat = ChatId::User(UserId::mint());
    Notification { device: DeviceId::mint(), chat, badge: 3, preview: None }
}

fn with_preview() -> Notification {
    let preview = PushPreview { from: UserId::mint(), text: "see you at eight".into() };
    Notification { preview: Some(preview), ..notification() }
}

/// A date of HTTP that is so far ahead.
fn date(ahead: Duration) -> String {
    httpdate::fmt_http_date(SystemTime::now() + ahead)
}

/// Whether it is to be tried again after about that long. Dates have whole seconds,
/// and some pass.
fn later(outcome: &Outcome, expected: Duration) -> bool {
    let slack = Duration::from_secs(30);
    matches!(outcome, Outcome::Later(Some(wait)) if *wait <= expected && *wait + slack >= expected)
}
