//! How devices are woken, cached: it is asked for with every message.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use moka::future::Cache;
use nats::{Bus, subject};
use schemas::{DeviceId, PushTarget, UserId};
use store::{Directory, DirectoryError, User};
use tokio::time::sleep;
use tracing::debug;

/// Most users remembered.
const USERS: u64 = 200_000;
/// After so long an entry is read again, should a change ever go unheard.
const LIFE: Duration = Duration::from_secs(5 * 60);
/// While there is no subscription for changes, it is tried again after this.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// The cache; clones share it.
#[derive(Clone)]
pub(crate) struct Targets {
    directory: Arc<dyn Directory>,
    users: Cache<UserId, Arc<Wakeable>>,
}

/// What a notification for a user takes.
#[derive(Debug, Default)]
pub(super) struct Wakeable {
    /// The devices that can be woken.
    devices: Box<[(DeviceId, PushTarget)]>,
    /// Whether they may be told what was written.
    pub(super) preview: bool,
}

impl Targets {
    /// A cache in front of the directory.
    pub(crate) fn new(directory: Arc<dyn Directory>) -> Self {
        let users = Cache::builder().max_capacity(USERS).time_to_live(LIFE).build();
        Self { directory, users }
    }

    /// What there is of a user, from the directory's newest state or from what
    /// was that within [`LIFE`] and has not changed since.
    pub(super) async fn of(&self, user: UserId) -> Result<Arc<Wakeable>, Arc<DirectoryError>> {
        let read = async {
            let found = self.directory.user_fresh(user).await?;
            Ok(Arc::new(found.map(Wakeable::new).unwrap_or_default()))
        };
        self.users.try_get_with(user, read).await
    }

    /// The same, if it is known without reading.
    pub(super) async fn known(&self, user: UserId) -> Option<Arc<Wakeable>> {
        self.users.get(&user).await
    }

    /// Forgets a target that leads nowhere any more; whether the device still had
    /// it.
    pub(super) async fn drop(
        &self,
        bus: &Bus,
        user: UserId,
        device: DeviceId,
        target: &PushTarget,
    ) -> Result<bool, DirectoryError> {
        let dropped = self.directory.drop_push(user, device, target).await?;
        self.users.invalidate(&user).await;
        // The other workers find out by themselves when this is lost.
        let _ = bus.client.publish(subject::changed(user), "".into()).await;
        Ok(dropped)
    }

    /// Lets go of what changes, for ever. What was missed while the connection
    /// was lost is unknown, so everything is let go then.
    pub(crate) async fn keep(self, bus: Bus) {
        loop {
            let mut lost = std::pin::pin!(bus.lost());
            let Ok(mut changes) = bus.client.subscribe(subject::CHANGED_WILDCARD).await else {
                sleep(TRY_AGAIN).await;
                continue;
            };
            self.users.invalidate_all();
            loop {
                let change = tokio::select! {
                    biased;
                    () = &mut lost => None,
                    change = changes.next() => change,
                };
                let Some(change) = change else { break };
                let Some(user) = subject::changed_of(&change.subject) else { continue };
                self.users.invalidate(&user).await;
            }
            debug!("changes of users went unheard for a while");
        }
    }
}

impl Wakeable {
    fn new(user: User) -> Self {
        let target = |device: store::Device| Some((device.id, device.push?));
        Self {
            devices: user.devices.into_iter().filter_map(target).collect(),
            preview: user.settings.push_preview,
        }
    }

    /// How that device is woken.
    pub(super) fn target(&self, device: DeviceId) -> Option<&PushTarget> {
        self.devices.iter().find(|(id, _)| *id == device).map(|(_, target)| target)
    }
}
