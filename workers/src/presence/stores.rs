//! What the presence worker asks of NATS, as traits: its tests stand in for the
//! stores, with other workers between any two steps.

use std::{collections::BTreeSet, future::Future};

use nats::{
    Bus, Leases, PresenceKv, Sessions, presence::Present, sessions::Registered, subject::Seat,
};
use schemas::{
    GatewayId, Millis, UserId,
    event::{PresenceRecord, SessionMark},
};

use crate::unavailable::{Unavailable, Unwritten};

/// Who is connected. All of it is what the leader knows.
pub(crate) trait Registry: Send + Sync + 'static {
    /// A user's sessions, those that ended lately among them.
    fn of_user(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<Vec<Registered>, Unavailable>> + Send;

    /// What is written of one session.
    fn mark(
        &self,
        seat: &Seat,
    ) -> impl Future<Output = Result<Option<SessionMark>, Unavailable>> + Send;

    /// Whether every gateway that lives has written all of its sessions. While
    /// one has not, nobody can be called offline.
    fn is_whole(&self) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

/// The bucket of presence.
pub(crate) trait Bucket: Send + Sync + 'static {
    /// A user's newest presence.
    fn newest(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<Option<Present>, Unavailable>> + Send;

    /// Writes a user's presence if it still has this revision.
    fn put(
        &self,
        user: UserId,
        record: &PresenceRecord,
        revision: u64,
    ) -> impl Future<Output = Result<(), Unwritten>> + Send;
}

/// The stores on NATS.
#[derive(Debug, Clone)]
pub(crate) struct Nats {
    pub(super) sessions: Sessions,
    pub(super) leases: Leases,
    pub(super) presence: PresenceKv,
}

impl Nats {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self {
            sessions: Sessions::new(bus.clone()),
            leases: Leases::new(bus.clone()),
            presence: PresenceKv::new(bus.clone()),
        }
    }

    /// The gateways that live and those of them that have not written all of
    /// their sessions.
    pub(super) async fn late(&self) -> Result<(BTreeSet<GatewayId>, usize), Unavailable> {
        let live = self.leases.live().await?;
        let mut late = 0;
        for &gateway in &live {
            late += usize::from(!self.sessions.are_all_in(gateway).await?);
        }
        Ok((live, late))
    }

    /// When a gateway was alive for certain, as far as that was noted.
    pub(super) async fn last_alive(
        &self,
        gateway: GatewayId,
    ) -> Result<Option<Millis>, Unavailable> {
        Ok(self.presence.last_alive(gateway).await?)
    }
}

impl Registry for Nats {
    async fn of_user(&self, user: UserId) -> Result<Vec<Registered>, Unavailable> {
        Ok(self.sessions.of_user(user).await?)
    }

    async fn mark(&self, seat: &Seat) -> Result<Option<SessionMark>, Unavailable> {
        Ok(self.sessions.mark(seat).await?)
    }

    async fn is_whole(&self) -> Result<bool, Unavailable> {
        Ok(self.late().await?.1 == 0)
    }
}

impl Bucket for Nats {
    async fn newest(&self, user: UserId) -> Result<Option<Present>, Unavailable> {
        Ok(self.presence.newest(user).await?)
    }

    async fn put(
        &self,
        user: UserId,
        record: &PresenceRecord,
        revision: u64,
    ) -> Result<(), Unwritten> {
        Ok(self.presence.put(user, record, revision).await.map(drop)?)
    }
}
