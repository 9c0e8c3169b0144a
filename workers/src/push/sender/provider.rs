//! What the senders have in common.

use std::{future::Future, time::Duration};

use metrics::{counter, histogram};
use tokio::time::{Instant, timeout};
use tracing::{debug, error};

use super::{
    Notification, Outcome, circuit::Ending, devices::Devices, failure::Failure, gate::Pass,
    loud::Loud, options::PushOptions,
};

/// A push provider, or a kind of them.
pub(super) trait Provider: Send + Sync {
    /// Where a notification goes, as the provider knows it.
    type Target: Sync;

    /// In logs and metrics.
    const NAME: &'static str;
    /// What to set for it to be there.
    const SETTING: &'static str;

    /// Asks to send something there, now.
    fn enter(&self, target: &Self::Target) -> Result<Pass, Failure>;

    /// Sends a notification. Its preview goes along if it has one.
    fn send(
        &self,
        target: &Self::Target,
        notification: &Notification,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What is said of refused credentials, now and then.
    fn loud(&self) -> &Loud;
}

/// The way of every notification to its provider.
pub(super) struct Deliveries {
    devices: Devices,
    /// For all that one notification may take: its provider's token and a second
    /// try without a preview are requests, too.
    within: Duration,
}

impl Deliveries {
    pub(super) fn new(options: &PushOptions) -> Self {
        Self { devices: Devices::new(options), within: options.timeout() * 2 }
    }

    pub(super) async fn deliver<P: Provider>(
        &self,
        provider: Option<&P>,
        target: Result<&P::Target, Failure>,
        notification: &Notification,
    ) -> Outcome {
        let Some(provider) = provider else {
            counter!("petrel_push_failed_total", "provider" => P::NAME, "reason" => "no_provider")
                .increment(1);
            return Outcome::Refused(format!("{} is not set", P::SETTING));
        };
        match self.attempt(provider, target, notification).await {
            Ok(()) => {
                counter!("petrel_push_sent_total", "provider" => P::NAME).increment(1);
                Outcome::Sent
            }
            Err(failure) => {
                failed(provider, notification, &failure);
                failure.into()
            }
        }
    }

    async fn attempt<P: Provider>(
        &self,
        provider: &P,
        target: Result<&P::Target, Failure>,
        notification: &Notification,
    ) -> Result<(), Failure> {
        let target = target?;
        let pass = provider.enter(target)?;
        let began = Instant::now();
        self.devices.take(notification.device, began)?;
        let sent = timeout(self.within, with_preview_or_without(provider, target, notification));
        let sent = sent.await.unwrap_or_else(|_| Err(Failure::broken("no answer in time")));
        histogram!("petrel_push_seconds", "provider" => P::NAME).record(began.elapsed());
        pass.settle(match sent {
            Err(Failure::Broken(..)) => Ending::Failed,
            _ => Ending::Answered,
        });
        sent
    }
}

async fn with_preview_or_without<P: Provider>(
    provider: &P,
    target: &P::Target,
    notification: &Notification,
) -> Result<(), Failure> {
    let sent = provider.send(target, notification).await;
    if sent != Err(Failure::TooLarge) || notification.preview.is_none() {
        return sent;
    }
    let without = Notification { preview: None, ..notification.clone() };
    provider.send(target, &without).await
}

fn failed<P: Provider>(provider: &P, notification: &Notification, failure: &Failure) {
    let labels = [("provider", P::NAME), ("reason", failure.label())];
    counter!("petrel_push_failed_total", &labels).increment(1);
    debug!(provider = P::NAME, device = %notification.device, %failure, "not pushed");
    if matches!(failure, Failure::Credentials(_))
        && let Some(unsaid) = provider.loud().say(Instant::now())
    {
        error!(provider = P::NAME, setting = P::SETTING, unsaid, %failure, "nobody is woken through it");
    }
}

#[cfg(test)]
mod tests;
