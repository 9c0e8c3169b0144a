//! Gateways that are gone: their sessions are over, and nobody else says so.

use async_nats::jetstream;
use futures_util::{StreamExt as _, stream};
use nats::{receipts::PutError, sessions::Registered, subject::lease_gateway};
use schemas::{GatewayId, Micros, Millis, event::SessionMark};
use tracing::{info, warn};

use super::stores::Nats;
use crate::{
    runner::{Delivery, Handler, Turn, Undecodable, Verdict},
    unavailable::Unavailable,
};

/// Sessions ended together.
const AT_ONCE: usize = 128;

/// Handles the leases of gateways.
pub(crate) struct Departures(pub(crate) Nats);

/// What became of a lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseChange {
    gateway: GatewayId,
    /// It was taken or renewed; otherwise it ended.
    lives: bool,
    stored: Millis,
}

impl Handler for Departures {
    type Event = LeaseChange;

    fn decode(&self, message: &jetstream::Message) -> Result<LeaseChange, Undecodable> {
        let gateway = lease_gateway(&message.subject);
        let gateway = gateway.ok_or_else(|| Undecodable::new("not the key of a lease"))?;
        let Delivery { stored, .. } = Delivery::of(message)?;
        Ok(LeaseChange { gateway, lives: !message.payload.is_empty(), stored })
    }

    async fn handle(&self, changes: &[LeaseChange], turn: Turn) -> Vec<Verdict> {
        drop(turn);
        let mut verdicts = Vec::with_capacity(changes.len());
        for &LeaseChange { gateway, lives, stored } in changes {
            let done = if lives {
                self.0.presence.note_alive(gateway, stored).await.map_err(Unavailable::from)
            } else {
                self.0.end_sessions(gateway).await
            };
            verdicts.push(match done {
                Ok(()) => Verdict::Done,
                Err(error) => {
                    warn!(%gateway, %error, "a gateway's lease is looked at again");
                    Verdict::Retry
                }
            });
        }
        verdicts
    }
}

impl Nats {
    /// Ends all sessions of a gateway that is gone. Their clients' last sign of
    /// life is the gateway's, as far as anybody can know.
    pub(super) async fn end_sessions(&self, gateway: GatewayId) -> Result<(), Unavailable> {
        let alive = self.last_alive(gateway).await?;
        let (mut from, mut ended) = (Some(1), 0);
        while let Some(revision) = from {
            let (sessions, next) = self.sessions.of_gateway(gateway, revision).await?;
            // Looked at after the sessions were: a gateway that is back writes
            // them anew, and those revisions are not touched.
            if self.leases.live().await?.contains(&gateway) {
                return Ok(());
            }
            ended += sessions.len();
            self.end(&sessions, alive).await?;
            from = next;
        }
        self.sessions.is_gone(gateway).await?;
        if ended > 0 {
            info!(%gateway, sessions = ended, "a gateway is gone, its sessions are over");
        }
        Ok(())
    }

    async fn end(&self, sessions: &[Registered], alive: Option<Millis>) -> Result<(), Unavailable> {
        let writes: Vec<_> = sessions.iter().map(|session| self.end_one(session, alive)).collect();
        let mut writes = stream::iter(writes).buffer_unordered(AT_ONCE);
        while let Some(written) = writes.next().await {
            written?;
        }
        Ok(())
    }
    async fn end_one(
        &self,
        &Registered { seat, mark, revision }: &Registered,
        alive: Option<Millis>,
    ) -> Result<(), Unavailable> {
        let SessionMark::Started { at } = mark else { return Ok(()) };
        let alive = alive.map_or(at, |Millis(millis)| Micros(millis * 1_000));
        let mark = SessionMark::Ended { heard: at.max(alive), lingers: false };
        match self.sessions.write_over(&seat, &mark, revision).await {
            // It ended by itself, or the gateway is back.
            Ok(()) | Err(PutError::Conflict) => Ok(()),
            Err(error) => Err(Unavailable::new(error)),
        }
    }
}
