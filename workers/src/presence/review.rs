//! A look at everybody who is said to be online: after the registry's servers
//! lost their memory, or nobody looked for longer than the registry remembers
//! what ended.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use nats::{Bus, presence::Present, topology::SESSION_MARKER_AGE};
use schemas::{Millis, server::PresenceState};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    ledger::Ledger,
    stores::{Nats, Registry as _},
};
use crate::unavailable::Unavailable;

/// How often it is looked whether the registry is another one, besides after
/// every loss of the connection.
const EVERY: Duration = Duration::from_secs(60);
/// The pause after a look that failed, and while a gateway has yet to write
/// who is connected.
const AGAIN: Duration = Duration::from_secs(1);
/// Users looked at together.
const AT_ONCE: usize = 32;

/// Looks whenever there is a reason to, for ever.
pub(crate) async fn review(bus: Bus) {
    let nats = Nats::new(&bus);
    let mut is_late = true;
    loop {
        let lost = bus.lost();
        match nats.review_if_due(is_late).await {
            Ok(()) => {
                is_late = false;
                tokio::select! {
                    () = lost => {}
                    () = sleep(EVERY) => {}
                }
            }
            Err(error) => {
                warn!(%error, "presence cannot be looked through yet");
                sleep(AGAIN).await;
            }
        }
    }
}

impl Nats {
    /// `starts`: this worker just started, and there may have been none before.
    async fn review_if_due(&self, starts: bool) -> Result<(), Unavailable> {
        let made_at = self.sessions.made_at().await?;
        let is_known = self.presence.known_registry().await?.as_ref() == Some(&made_at);
        if is_known && !(starts && self.nobody_looked().await?) {
            return Ok(());
        }
        info!(is_known, "looking through everybody who is said to be online");
        let live = self.leases.live().await?;
        for gateway in self.sessions.gateways().await? {
            if !live.contains(&gateway) {
                self.end_sessions(gateway).await?;
            }
        }
        while !self.is_whole().await? {
            sleep(AGAIN).await;
        }
        self.look_through().await?;
        Ok(self.presence.know_registry(made_at).await?)
    }

    /// Whether no worker has noted the gateways' signs of life for so long that
    /// ends of sessions may have been forgotten.
    async fn nobody_looked(&self) -> Result<bool, Unavailable> {
        let long_ago = Millis::now().minus(SESSION_MARKER_AGE / 2);
        for gateway in self.leases.live().await? {
            if self.last_alive(gateway).await?.is_none_or(|alive| alive < long_ago) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn look_through(&self) -> Result<(), Unavailable> {
        let ledger = Ledger::new(self.clone(), self.clone());
        let (mut from, mut online) = (Some(1), 0_usize);
        while let Some(revision) = from {
            let (page, next) = self.presence.page(revision).await?;
            let present = page.iter().filter(|one| one.record.state == PresenceState::Online);
            let looks: Vec<_> = present.map(|present| self.look(&ledger, present)).collect();
            let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some(looked) = looks.next().await {
                looked?;
                online += 1;
            }
            from = next;
        }
        info!(users = online, "everybody who was said to be online is");
        Ok(())
    }

    async fn look(
        &self,
        ledger: &Ledger<Self, Self>,
        present: &Present,
    ) -> Result<(), Unavailable> {
        let alive = match present.record.gateway {
            Some(gateway) => self.last_alive(gateway).await?,
            None => None,
        };
        ledger.left(present.user, alive.unwrap_or_else(Millis::now)).await
    }
}
