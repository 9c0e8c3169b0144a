//! Rotation, reuse and login. What a presented token means in each state is
//! tested where it is decided, in `token.rs`; here, that the directory keeps to it.

use std::{sync::Arc, time::Duration};

use schemas::{DeviceId, Micros, PushTarget, UserId, limits::REFRESH_GRACE};

use super::{RACERS, Tested, race, registered};
use crate::{DirectoryError, RefreshClaim, Rotation, TokenState};

const START: Micros = Micros(1_700_000_000_000_000);
const A_MOMENT: Duration = Duration::from_micros(1);

/// A user's only device, on a clock of its own.
struct Holder {
    directory: Tested,
    user: UserId,
    device: DeviceId,
    first: RefreshClaim,
}

impl Holder {
    async fn new(directory: Tested) -> Self {
        let user = registered(&directory).await;
        let device = &user.devices[0];
        Self { directory, user: user.id, device: device.id, first: device.tokens.newest() }
    }

    /// Presents a token so long after the start.
    async fn present(&self, claim: RefreshClaim, after: Duration) -> Rotation {
        let now = START.plus(after);
        let rotation = self.directory.rotate_token(self.user, self.device, claim, now).await;
        rotation.expect("answers")
    }

    /// Presents one that has to be good; answers its successor.
    async fn rotate(&self, claim: RefreshClaim, after: Duration) -> RefreshClaim {
        match self.present(claim, after).await {
            Rotation::Issued(next) => next,
            other => panic!("{claim:?} was {other:?}"),
        }
    }

    async fn stored(&self) -> TokenState {
        let user = self.directory.user_fresh(self.user).await.expect("answers").expect("there");
        user.device(self.device).expect("linked").tokens
    }
}

/// A chain of rotations is kept, retries of lost answers included.
pub async fn a_token_is_good_for_its_successor(directory: Tested) {
    let holder = Holder::new(directory).await;
    let second = holder.rotate(holder.first, Duration::ZERO).await;
    let retried = holder.rotate(holder.first, REFRESH_GRACE).await;
    assert_eq!((second.number, retried.number), (2, 3));
    let fourth = holder.rotate(retried, REFRESH_GRACE * 2).await;
    let state = holder.stored().await;
    assert_eq!(state.newest(), fourth);
    assert_eq!((state.used, state.used_at), (3, START.plus(REFRESH_GRACE * 2)));
}

/// One token presented many times at once, as a client's tabs do: each is
/// answered, with a token of its own.
pub async fn presented_at_once_it_is_issued_for_each(directory: Tested) {
    let holder = Arc::new(Holder::new(directory).await);
    let rotations = race(|_| {
        let holder = Arc::clone(&holder);
        async move { holder.rotate(holder.first, Duration::ZERO).await.number }
    });
    let mut numbers = rotations.await;
    numbers.sort_unstable();
    let expected: Vec<u64> = (2..2 + RACERS as u64).collect();
    assert_eq!(numbers, expected);

    let newest = holder.stored().await.newest();
    holder.rotate(newest, Duration::from_secs(1)).await;
    assert_eq!(holder.present(holder.first, Duration::from_secs(2)).await, Rotation::Revoked);
}

/// A reuse makes all of the device's tokens worthless, and of many at once one
/// does it; the device stays and comes back by a login.
pub async fn a_reuse_revokes_once(directory: Tested) {
    let holder = Arc::new(Holder::new(directory).await);
    let second = holder.rotate(holder.first, Duration::ZERO).await;
    let target = PushTarget::Fcm { token: "t".into() };
    holder.directory.set_push(holder.user, holder.device, Some(target)).await.expect("sets");
    let late = REFRESH_GRACE + A_MOMENT;
    let outcomes = race(|_| {
        let holder = Arc::clone(&holder);
        async move { holder.present(holder.first, late).await }
    });
    let outcomes = outcomes.await;
    let revoked = outcomes.iter().filter(|outcome| **outcome == Rotation::Revoked).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Rotation::Refused).count();
    assert_eq!((revoked, refused), (1, RACERS - 1), "{outcomes:?}");
    assert_eq!(holder.present(second, late).await, Rotation::Refused);
    assert_ne!(holder.stored().await.family, holder.first.family);

    let device = holder.directory.renew_family(holder.user, holder.device).await.expect("renews");
    assert_eq!(device.id, holder.device);
    // Nor does whoever had the token get to know what the device is woken for.
    assert_eq!(device.push, None);
    holder.rotate(device.tokens.newest(), late).await;
}

/// After a login on the device only the new family counts, from its start.
pub async fn a_login_replaces_the_family(directory: Tested) {
    let holder = Holder::new(directory).await;
    let second = holder.rotate(holder.first, Duration::ZERO).await;
    let device = holder.directory.renew_family(holder.user, holder.device).await.expect("renews");
    assert_ne!(device.tokens.family, second.family);
    assert_eq!((device.tokens.issued, device.tokens.used), (1, 0));
    assert_eq!(holder.present(second, Duration::ZERO).await, Rotation::Refused);
    assert_eq!(holder.stored().await, device.tokens);
    holder.rotate(device.tokens.newest(), Duration::ZERO).await;
}

/// Unknown users, devices and families get nothing and change nothing.
pub async fn strangers_are_refused(directory: Tested) {
    let holder = Holder::new(Arc::clone(&directory)).await;
    let (user, device, claim) = (holder.user, holder.device, holder.first);
    let before = holder.stored().await;
    let foreign = RefreshClaim { family: crate::Family::mint(), ..claim };
    for (user, device, claim) in
        [(UserId::mint(), device, claim), (user, DeviceId::mint(), claim), (user, device, foreign)]
    {
        let rotation = directory.rotate_token(user, device, claim, START).await;
        assert_eq!(rotation.expect("answers"), Rotation::Refused);
    }
    assert_eq!(holder.stored().await, before);
    for (user, device) in [(UserId::mint(), device), (user, DeviceId::mint())] {
        let renewed = directory.renew_family(user, device).await;
        assert!(matches!(renewed, Err(DirectoryError::NotFound(_))), "{renewed:?}");
    }

    assert!(directory.unlink_device(user, device).await.expect("unlinks"));
    assert_eq!(holder.present(claim, Duration::ZERO).await, Rotation::Refused);
}
