//! What one provider does, and the others do not notice.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::*;

/// After which a provider is left alone.
const FAILURES: u64 = 5;

#[tokio::test]
async fn while_one_provider_is_silent_the_others_send() {
    let world = Arc::new(World::new(&[]).await);
    for silent in 0..3 {
        let targets = world.all();
        world.receiver.always(targets[silent].provider(), Answer::Silence);
        let mut waiting = JoinSet::new();
        for _ in 0..4 {
            let (world, target) = (world.clone(), targets[silent].clone());
            waiting.spawn(async move { world.send(&target, &notification()).await });
        }
        assert!(world.receiver.requested(&targets[silent], 4).await);
        for (n, target) in targets.iter().enumerate().filter(|(n, _)| *n != silent) {
            for _ in 0..20 {
                assert_eq!(world.send(target, &notification()).await, Outcome::Sent, "{n}");
            }
        }
        assert!(waiting.try_join_next().is_none());
        world.receiver.always(targets[silent].provider(), Answer::Accept);
    }
}

#[tokio::test]
async fn a_silent_push_service_holds_up_no_other_one() {
    let world = World::new(&["--push-at-once=4", "--push-timeout-ms=10000"]).await;
    let other = PushReceiver::start().await.unwrap();
    let theirs = other.browser(world.senders.vapid_public_key().unwrap());
    let silent = world.browser();
    world.receiver.always("webpush", Answer::Silence);
    let world = Arc::new(world);
    let mut waiting = JoinSet::new();
    for _ in 0..4 {
        let (world, silent) = (world.clone(), silent.clone());
        waiting.spawn(async move { world.send(&silent, &notification()).await });
    }
    assert!(world.receiver.requested(&silent, 4).await);
    // One more does not even wait.
    let outcome = world.send(&silent, &notification()).await;
    assert_eq!(outcome, Outcome::Later(Some(Duration::from_secs(1))));
    assert_eq!(world.receiver.requests(&silent), 4);
    assert_eq!(world.send(&theirs, &notification()).await, Outcome::Sent);
    assert!(waiting.try_join_next().is_none());
}

#[tokio::test]
async fn silence_is_a_failure_after_the_time_that_is_set() {
    let world = World::new(&["--push-timeout-ms=1000"]).await;
    let silences = world.all().map(async |target| {
        assert_eq!(world.answered(&target, Answer::Silence).await, Outcome::Later(None));
        assert_eq!(world.receiver.requests(&target), 1, "{target:?}");
    });
    join_all(silences).await;
}

#[tokio::test]
async fn a_provider_that_fails_is_left_alone_and_the_others_are_not() {
    let world = World::new(&[]).await;
    let targets = world.all();
    for target in &targets {
        world.receiver.always(target.provider(), Answer::status(500));
        for _ in 0..FAILURES {
            assert_eq!(world.send(target, &notification()).await, Outcome::Later(None));
        }
        let before = world.receiver.requests(target);
        let outcome = world.send(target, &notification()).await;
        assert!(later(&outcome, Duration::from_secs(5)), "{outcome:?}");
        assert_eq!(world.receiver.requests(target), before);
        world.receiver.always(target.provider(), Answer::Accept);
    }
}

#[tokio::test]
async fn one_push_service_that_fails_is_not_all_of_them() {
    let world = World::new(&[]).await;
    let other = PushReceiver::start().await.unwrap();
    let theirs = other.browser(world.senders.vapid_public_key().unwrap());
    let failing = world.browser();
    world.receiver.always("webpush", Answer::Reset);
    for _ in 0..=FAILURES {
        let outcome = world.send(&failing, &notification()).await;
        assert!(matches!(outcome, Outcome::Later(_)), "{outcome:?}");
    }
    assert_eq!(world.receiver.requests(&failing), FAILURES);
    assert_eq!(world.send(&theirs, &notification()).await, Outcome::Sent);
}

#[tokio::test]
async fn a_device_is_told_no_more_often_than_it_is_set() {
    let world = World::new(&["--push-device-burst=2", "--push-device-every-secs=60"]).await;
    let notification = notification();
    for target in world.all() {
        let device = DeviceId::mint();
        let notification = Notification { device, ..notification.clone() };
        for _ in 0..2 {
            assert_eq!(world.send(&target, &notification).await, Outcome::Sent);
        }
        let outcome = world.send(&target, &notification).await;
        assert!(later(&outcome, Duration::from_secs(60)), "{outcome:?}");
        assert_eq!(world.receiver.requests(&target), 2);
        // Another one is none of that one's business.
        let other = Notification { device: DeviceId::mint(), ..notification };
        assert_eq!(world.send(&target, &other).await, Outcome::Sent);
    }
}
