//! What all sessions and requests of a gateway share.

use std::sync::Arc;

use nats::{MediaQueue, PushKv, bus::Bus, inbox::Inboxes, mux::Mux, receipts::ReceiptsKv, subject};
use schemas::{DeviceId, ErrorCode, UserId, event::Notice};
use store::{Directory, DirectoryError, Family, Objects};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    absence::Absence,
    acks::Acks,
    config::Config,
    group::Groups,
    inlet::Inlet,
    limits::Limits,
    media::{Intake, Sharing},
    password::Passwords,
    poll::Turns,
    presence::{Registry, Watching},
    roster::{Entry, Roster},
    session::Refusal,
    token::{Access, TokenError, Tokens},
};

/// Most reads of inboxes and receipts at once: a storm of people who come back
/// must not drown the store.
const READS: usize = 256;

/// One gateway's parts.
pub(crate) struct App {
    /// As the operator set it.
    pub config: Config,
    /// This gateway's name in welcomes and logs.
    pub name: String,
    /// NATS, for publishing and requests.
    pub bus: Bus,
    /// NATS, for subscriptions.
    pub mux: Mux<Inlet>,
    /// The inboxes.
    pub inboxes: Inboxes,
    /// Watermarks.
    pub receipts: ReceiptsKv,
    /// Users and devices.
    pub directory: Arc<dyn Directory>,
    /// The bytes of media.
    pub objects: Objects,
    /// To the media worker.
    pub media: MediaQueue,
    /// What comes in of uploads.
    pub intake: Intake,
    /// Media that were sent lately.
    pub sharing: Sharing,
    /// What of them is cached.
    pub roster: Roster,
    /// Whether it is all there is, for now.
    pub absence: Absence,
    /// Who is in which group, and this gateway's place among the others.
    pub groups: Groups,
    /// Who is connected here.
    pub registry: Registry,
    /// Whose presence is followed here.
    pub watching: Watching,
    /// The key of web push.
    pub push: PushKv,
    /// To the receipts worker.
    pub acks: Acks,
    /// Whose turn it is among sends over HTTP.
    pub turns: Turns,
    /// Makes and checks tokens.
    pub tokens: Tokens,
    /// Makes and checks password hashes.
    pub passwords: Passwords,
    /// Rate limits.
    pub limits: Limits,
    /// Permits for reads of the store.
    pub reads: Semaphore,
    /// Everything that was spawned for clients.
    pub tasks: TaskTracker,
    /// Cancelled when the gateway is to leave: sessions say `drain`.
    pub draining: CancellationToken,
    /// Cancelled when its time is up: sessions close.
    pub closing: CancellationToken,
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// Forged, expired, revoked, or its device is unlinked.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// It could not be checked.
    #[error(transparent)]
    Unavailable(#[from] DirectoryError),
}

impl App {
    /// The permits for [`App::reads`].
    pub(crate) fn read_permits() -> Semaphore {
        Semaphore::new(READS)
    }

    /// A permit for a read of the store, as soon as there is one.
    ///
    /// # Errors
    /// Never while there is a gateway.
    pub(crate) async fn read_permit(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let closed = |_| Refusal::new(ErrorCode::Unavailable, "this gateway is going away");
        self.reads.acquire().await.map_err(closed)
    }

    /// Whether clients should come here.
    pub(crate) fn is_ready(&self) -> bool {
        let connected =
            self.bus.client.connection_state() == async_nats::connection::State::Connected;
        connected && self.mux.is_connected() && !self.draining.is_cancelled()
    }

    /// Checks an access token, its device and its family.
    ///
    /// # Errors
    /// [`AuthError`].
    pub(crate) async fn authenticate(
        &self,
        token: &str,
    ) -> Result<(Access, Arc<Entry>), AuthError> {
        let access = self.tokens.check_access(token)?;
        let me = access.identity;
        let accepts = |entry: &Arc<Entry>| entry.accepts(me.device, access.family);
        if let Some(entry) = self.roster.get(me.user).await?.filter(accepts) {
            return Ok((access, entry));
        }
        // The cache may be older than the token: its word alone refuses nobody.
        let entry = self.roster.fresh(me.user).await?.filter(accepts).ok_or(TokenError)?;
        Ok((access, entry))
    }

    /// Tells every gateway that a user's devices, blocks or settings changed,
    /// and this one before it returns.
    pub(crate) async fn changed(&self, user: UserId) {
        self.roster.forget(user);
        self.publish(subject::changed(user), bytes::Bytes::new()).await;
    }

    /// Returns when every gateway acts on what [`changed`](Self::changed): a
    /// caller who is answered then finds it so wherever they ask next. To be
    /// awaited last, since a client may hang up meanwhile.
    pub(crate) async fn take_effect(&self, user: UserId) {
        self.groups.forget_everywhere(user).await;
    }

    /// Says something to all of a user's sessions, wherever they are.
    pub(crate) async fn notify(&self, user: UserId, notice: &Notice) {
        match serde_json::to_vec(notice) {
            Ok(json) => self.publish(subject::notice(user), json.into()).await,
            Err(error) => tracing::error!(%error, "a notice has no JSON form"),
        }
    }

    /// Closes a device's sockets, wherever they are: its tokens are good no more,
    /// but for those of this family.
    pub(crate) async fn revoke(&self, user: UserId, device: DeviceId, but: Option<Family>) {
        self.changed(user).await;
        let instead = but.map(|family| family.to_string());
        self.notify(user, &Notice::Revoked { device, instead }).await;
    }

    /// Ends all that a device had: its sockets, wherever they are, and its inbox.
    pub(crate) async fn drop_device(self: &Arc<Self>, user: UserId, device: DeviceId) {
        self.revoke(user, device, None).await;
        self.purge(user, device).await;
        // Another gateway may have had the device in its cache a moment longer.
        let app = Arc::clone(self);
        self.tasks.spawn(async move {
            let closing = app.closing.clone();
            let settled = tokio::time::sleep(std::time::Duration::from_secs(2));
            closing.run_until_cancelled(settled).await;
            app.purge(user, device).await;
        });
    }

    async fn purge(&self, user: UserId, device: DeviceId) {
        if let Err(error) = self.inboxes.purge(user, device, None).await {
            tracing::warn!(%user, %device, %error, "inbox not dropped, it ages out");
        }
    }

    async fn publish(&self, subject: String, payload: bytes::Bytes) {
        // Handed to the connection's task; fails only when that is gone.
        if let Err(error) = self.bus.client.publish(subject, payload).await {
            tracing::error!(%error, "not published");
        }
    }
}
