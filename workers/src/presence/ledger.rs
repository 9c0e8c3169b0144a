//! What is written of a user, out of what the registry holds.
//!
//! Several workers may look at the same user at once. Each reads the user's
//! presence first and the registry second, and writes only over the revision
//! that it read. That leaves one gap: who finds a session and presence already
//! "online" has nothing to write, so that one who looked a moment earlier could
//! still write "offline" over it. Therefore that one first writes that the user
//! is `leaving`, and looks once more. Whoever finds a session clears the mark,
//! and so takes the revision away.

use std::time::{Duration, Instant};

use metrics::counter;
use nats::{presence::Present, subject::Seat};
use schemas::{
    GatewayId, Millis, UserId,
    event::{PresenceRecord, SessionMark},
    server::PresenceState,
};
use tokio::sync::Mutex;

use super::stores::{Bucket, Registry};
use crate::unavailable::{Unavailable, Unwritten};

/// Looks at one user. Others must write each time for all of them to fail.
const ATTEMPTS: u32 = 16;
/// For how long the registry, once whole, is taken to be so. It becomes less
/// only when a server loses its memory, and that takes longer.
const WHOLE_FOR: Duration = Duration::from_secs(1);

/// Writes presence.
pub(super) struct Ledger<R, B> {
    registry: R,
    bucket: B,
    /// When the registry was last found whole.
    whole: Mutex<Option<Instant>>,
}

impl<R: Registry, B: Bucket> Ledger<R, B> {
    pub(super) fn new(registry: R, bucket: B) -> Self {
        Self { registry, bucket, whole: Mutex::new(None) }
    }

    /// A session may have started.
    pub(super) async fn came(&self, seat: &Seat) -> Result<(), Unavailable> {
        for _ in 0..ATTEMPTS {
            let present = self.bucket.newest(seat.user).await?;
            if present.is_some_and(|Present { record, .. }| is_online(&record) && !record.leaving) {
                return Ok(());
            }
            // The event may be an old one, and the session over.
            if !matches!(self.registry.mark(seat).await?, Some(SessionMark::Started { .. })) {
                return Ok(());
            }
            let comes = !present.is_some_and(|present| is_online(&present.record));
            if self.write(seat.user, present, &online(seat.gateway)).await? {
                if comes {
                    counter!("petrel_presence_changes_total", "state" => "online").increment(1);
                }
                return Ok(());
            }
        }
        Err(Unavailable::new("others write the same user's presence all the time"))
    }

    /// A session may have ended; its client was heard last then.
    pub(super) async fn left(&self, user: UserId, heard: Millis) -> Result<(), Unavailable> {
        if !self.is_whole().await? {
            return Err(Unavailable::new("a gateway has yet to write who is connected"));
        }
        for _ in 0..ATTEMPTS {
            let present = self.bucket.newest(user).await?;
            let mut last_seen = heard;
            for session in self.registry.of_user(user).await? {
                match session.mark {
                    SessionMark::Started { .. } => return Ok(()),
                    SessionMark::Ended { heard, .. } => last_seen = last_seen.max(heard.into()),
                }
            }
            let known = present.and_then(|present| present.record.last_seen);
            let last_seen = known.map_or(last_seen, |known| known.max(last_seen));
            let (record, over) = match present.map(|present| present.record) {
                Some(record) if is_online(&record) && !record.leaving => {
                    (PresenceRecord { leaving: true, ..record }, false)
                }
                // Written even where nothing changes: somebody who found a session
                // before it ended may be about to write "online".
                _ => (offline(last_seen), true),
            };
            if self.write(user, present, &record).await? && over {
                if present.is_some_and(|present| is_online(&present.record)) {
                    counter!("petrel_presence_changes_total", "state" => "offline").increment(1);
                }
                return Ok(());
            }
        }
        Err(Unavailable::new("others write the same user's presence all the time"))
    }

    /// Whether it was written over what was read.
    async fn write(
        &self,
        user: UserId,
        read: Option<Present>,
        record: &PresenceRecord,
    ) -> Result<bool, Unavailable> {
        let revision = read.map_or(0, |present| present.revision);
        match self.bucket.put(user, record, revision).await {
            Ok(()) => Ok(true),
            Err(Unwritten::Conflict) => Ok(false),
            Err(Unwritten::Unavailable(error)) => Err(error),
        }
    }

    /// Looked at by one for all who wait.
    async fn is_whole(&self) -> Result<bool, Unavailable> {
        let mut whole = self.whole.lock().await;
        if whole.is_some_and(|found| found.elapsed() < WHOLE_FOR) {
            return Ok(true);
        }
        let asked = Instant::now();
        let is_whole = self.registry.is_whole().await?;
        *whole = is_whole.then_some(asked);
        Ok(is_whole)
    }
}

fn is_online(record: &PresenceRecord) -> bool {
    record.state == PresenceState::Online
}

fn online(gateway: GatewayId) -> PresenceRecord {
    PresenceRecord {
        state: PresenceState::Online,
        last_seen: None,
        gateway: Some(gateway),
        leaving: false,
    }
}

fn offline(last_seen: Millis) -> PresenceRecord {
    PresenceRecord {
        state: PresenceState::Offline,
        last_seen: Some(last_seen),
        gateway: None,
        leaving: false,
    }
}
