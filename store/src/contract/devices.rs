//! Linking and unlinking.

use std::sync::Arc;

use schemas::{DeviceId, PushTarget, UserId, limits::DEVICES};

use super::{Tested, race, registered};
use crate::{DirectoryError, NewDevice};

fn tablet() -> NewDevice {
    NewDevice { name: Some("tablet".into()), platform: Some("web".into()) }
}

/// A linked device is there until it is unlinked, and its place is free again.
pub async fn devices_come_and_go(directory: Tested) {
    let user = registered(&directory).await;
    let mut linked = user.devices.clone();
    while linked.len() < DEVICES {
        let device = directory.link_device(user.id, tablet()).await.expect("links");
        assert_eq!(device.name.as_deref(), Some("tablet"));
        assert_eq!(device.tokens.newest().number, 1);
        linked.push(device);
    }
    let full = directory.link_device(user.id, tablet()).await;
    assert!(matches!(full, Err(DirectoryError::LimitReached { limit: DEVICES, .. })), "{full:?}");
    let gone = linked.remove(3);
    assert!(directory.unlink_device(user.id, gone.id).await.expect("unlinks"));
    linked.push(directory.link_device(user.id, tablet()).await.expect("links"));

    let user = directory.user_fresh(user.id).await.expect("answers").expect("there");
    assert_eq!(user.devices, linked);
    assert_eq!(user.device(gone.id), None);
}

/// Of many who link at once, as many succeed as there are places left.
pub async fn the_last_places_have_no_more_winners_than_there_are(directory: Tested) {
    const LEFT: usize = 2;
    let user = registered(&directory).await;
    for _ in 1..DEVICES - LEFT {
        directory.link_device(user.id, tablet()).await.expect("links");
    }
    let outcomes = race(|_| {
        let directory = Arc::clone(&directory);
        async move { directory.link_device(user.id, tablet()).await }
    });
    let mut winners = Vec::new();
    for outcome in outcomes.await {
        match outcome {
            Ok(device) => winners.push(device),
            Err(DirectoryError::LimitReached { .. }) => {}
            Err(error) => panic!("neither won nor lost: {error:?}"),
        }
    }
    assert_eq!(winners.len(), LEFT);
    let user = directory.user_fresh(user.id).await.expect("answers").expect("there");
    assert_eq!(user.devices.len(), DEVICES);
    for winner in winners {
        assert_eq!(user.device(winner.id), Some(&winner));
    }
}

/// What is not linked can be unlinked; the answer tells.
pub async fn unlinking_again_is_no_error(directory: Tested) {
    let user = registered(&directory).await;
    let device = user.devices[0].id;
    assert!(directory.unlink_device(user.id, device).await.expect("unlinks"));
    assert!(!directory.unlink_device(user.id, device).await.expect("answers"));
    assert!(!directory.unlink_device(user.id, DeviceId::mint()).await.expect("answers"));
    let user = directory.user_fresh(user.id).await.expect("answers").expect("there");
    assert_eq!(user.devices, []);
}

/// Who never registered can neither link nor unlink.
pub async fn a_stranger_has_no_devices(directory: Tested) {
    let stranger = UserId::mint();
    let linked = directory.link_device(stranger, tablet()).await;
    assert!(matches!(linked, Err(DirectoryError::NotFound(_))), "{linked:?}");
    let unlinked = directory.unlink_device(stranger, DeviceId::mint()).await;
    assert!(matches!(unlinked, Err(DirectoryError::NotFound(_))), "{unlinked:?}");
    assert_eq!(directory.user_fresh(stranger).await.expect("answers"), None);
}

/// How a device is woken is what was said last, and is forgotten only by who
/// knows what it is.
pub async fn a_device_is_woken_as_was_said_last(directory: Tested) {
    let user = registered(&directory).await;
    let device = user.devices[0].id;
    let target = |token: &str| PushTarget::Fcm { token: token.into() };
    let stored = async || {
        let user = directory.user_fresh(user.id).await.expect("answers").expect("there");
        user.device(device).expect("linked").push.clone()
    };
    assert_eq!(stored().await, None);
    for token in ["first", "second", "second"] {
        directory.set_push(user.id, device, Some(target(token))).await.expect("sets");
        assert_eq!(stored().await, Some(target(token)));
    }
    directory.renew_family(user.id, device).await.expect("renews");
    assert!(!directory.drop_push(user.id, device, &target("first")).await.expect("answers"));
    assert_eq!(stored().await, Some(target("second")));
    assert!(directory.drop_push(user.id, device, &target("second")).await.expect("drops"));
    assert_eq!(stored().await, None);
    assert!(!directory.drop_push(user.id, device, &target("second")).await.expect("answers"));
    directory.set_push(user.id, device, Some(target("third"))).await.expect("sets");
    directory.set_push(user.id, device, None).await.expect("clears");
    assert_eq!(stored().await, None);

    let stranger = directory.set_push(user.id, DeviceId::mint(), Some(target("x"))).await;
    assert!(matches!(stranger, Err(DirectoryError::NotFound(_))), "{stranger:?}");
    assert!(!directory.drop_push(user.id, DeviceId::mint(), &target("x")).await.expect("answers"));
}
