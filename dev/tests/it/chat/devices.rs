//! A user's several devices: copies, one socket each, and unlinking.

use std::time::{Duration, Instant};

use dev::client::ApiError;
use schemas::{CloseCode, ErrorCode};

use crate::{
    people::{FIRST, PASSWORD, Person, SECOND, ids, text},
    support::{self, undisturbed},
};

/// Within which unlinking takes effect.
const PROMISED: Duration = Duration::from_secs(1);

#[tokio::test]
async fn ones_other_devices_get_a_copy_with_the_same_ts() {
    let [alice, bob] = Person::several().await;
    let (desk, away) = (alice.link().await, alice.link().await);
    let (mut phone, mut desk) = (alice.connect(FIRST).await, desk.connect(SECOND).await);
    let ts = phone.sends(text("m1", &bob, "hi")).await;
    let copy = desk.gets().await;
    assert_eq!((copy.chat, copy.from, copy.ts), (bob.chat(), alice.user(), ts));

    // Also on a retry, and never on the device that sent it.
    assert_eq!(phone.sends(text("m1", &bob, "hi")).await, ts);
    let copies = away.hello(SECOND).await.catches_up().await.items;
    assert_eq!(ids(&copies), ["m1"]);
    assert_eq!(copies[0].ts, ts);

    let mut b = bob.hello(SECOND).await;
    b.catches_up().await;
    b.sends(text("m2", &alice, "hi")).await;
    for line in [&mut phone, &mut desk] {
        assert_eq!(line.gets().await.id.as_str(), "m2");
    }
}

#[tokio::test]
async fn a_device_gets_all_that_is_sent_once_its_login_was_answered() {
    let [alice, bob] = Person::several().await;
    let mut b = bob.connect(SECOND).await;
    b.sends(text("before", &alice, "hi")).await;
    for round in 0..30 {
        let desk = alice.link().await;
        let id = format!("m{round}");
        b.sends(text(&id, &alice, "hi")).await;
        assert_eq!(ids(&desk.fetch(FIRST).await.items), [id.as_str()]);
        b.gets_receipt().await;
        desk.at(FIRST).logout().await.unwrap();
    }
}

#[tokio::test]
async fn delivered_counts_with_the_first_device_that_acknowledges() {
    let [alice, bob] = Person::several().await;
    let (slow, fast) = (bob.link().await, bob.link().await);
    let mut a = alice.connect(FIRST).await;
    let ts = a.sends(text("m1", &bob, "hi")).await;
    for device in [&bob, &slow, &fast] {
        let mut line = device.hello(SECOND).await;
        let items = line.catches_up().await.items;
        assert_eq!(ids(&items), ["m1"], "every device has its own");
        if device.device() == fast.device() {
            line.acks(items[0].seq).await;
            assert_eq!(a.gets_receipt().await.delivered, ts);
        }
    }

    // The others' acknowledgements say nothing new; the next message's do.
    bob.fetch(SECOND).await;
    slow.fetch(SECOND).await;
    let next = a.sends(text("m2", &bob, "hi")).await;
    slow.fetch(SECOND).await;
    assert_eq!(a.gets_receipt().await.delivered, next);
}

#[tokio::test]
async fn the_newer_socket_of_a_device_wins() {
    for gateway in [FIRST, SECOND] {
        let [alice, bob] = Person::several().await;
        let mut older = alice.connect(FIRST).await;
        let mut newer = alice.hello(gateway).await;
        older.is_closed(CloseCode::Replaced).await;
        newer.catches_up().await;

        bob.connect(SECOND).await.sends(text("m1", &alice, "hi")).await;
        assert_eq!(newer.gets().await.id.as_str(), "m1");
        // Another device of theirs is no reason to go.
        alice.link().await.hello(gateway).await.catches_up().await;
        newer.is_quiet().await;
    }
}

#[tokio::test]
async fn an_unlinked_device_is_out_at_once_everywhere() {
    undisturbed(async || {
        let [alice, bob] = Person::several().await;
        let lost = alice.link().await;
        let mut b = bob.connect(FIRST).await;
        b.sends(text("m1", &alice, "hi")).await;
        let mut phone = alice.hello(FIRST).await;
        let mut lost_line = lost.hello(SECOND).await;
        assert_eq!(ids(&lost_line.catches_up().await.items), ["m1"]);

        let asked = Instant::now();
        alice.at(FIRST).unlink(lost.device()).await.unwrap();
        lost_line.is_closed(CloseCode::Unauthorized).await;
        assert!(asked.elapsed() < PROMISED, "{:?}", asked.elapsed());
        assert!(is_gone(&lost).await, "its inbox");

        // Whichever gateway it tries.
        for gateway in [FIRST, SECOND] {
            let mut line = lost.open(gateway).await;
            line.say_hello(lost.account.token(), 0).await;
            line.is_closed(CloseCode::Unauthorized).await;
            let account = lost.at(gateway);
            assert_eq!(account.me().await.unwrap_err().code(), Some(ErrorCode::Unauthorized));
            let renewed = account.api.refresh(&account.session.refresh_token).await;
            assert_eq!(renewed.unwrap_err().code(), Some(ErrorCode::Unauthorized));
            let again = account.api.login(&lost.name, PASSWORD, Some(lost.device())).await;
            assert_eq!(again.unwrap_err().code(), Some(ErrorCode::NotFound));
        }

        // It gets nothing more, and the others are not concerned.
        assert_eq!(ids(&phone.catches_up().await.items), ["m1"]);
        b.sends(text("m2", &alice, "hi")).await;
        assert_eq!(phone.gets().await.id.as_str(), "m2");
        assert!(is_gone(&lost).await);
    })
    .await;
}

#[tokio::test]
async fn a_logout_unlinks_the_device_itself() {
    undisturbed(async || {
        let [alice, bob] = Person::several().await;
        let desk = alice.link().await;
        let mut line = desk.connect(SECOND).await;
        bob.connect(FIRST).await.sends(text("m1", &alice, "hi")).await;
        line.gets().await;

        let asked = Instant::now();
        desk.at(FIRST).logout().await.unwrap();
        line.is_closed(CloseCode::Unauthorized).await;
        assert!(asked.elapsed() < PROMISED, "{:?}", asked.elapsed());
        assert!(is_gone(&desk).await);
        let again = desk.at(SECOND).logout().await;
        assert_eq!(again.unwrap_err().code(), Some(ErrorCode::Unauthorized));
        let left = alice.account.devices().await.unwrap();
        assert_eq!(left.iter().map(|device| device.id).collect::<Vec<_>>(), [alice.device()]);
    })
    .await;
}

#[tokio::test]
async fn a_ninth_device_is_refused_until_one_is_unlinked() {
    let [alice] = Person::several().await;
    let mut devices = vec![alice.device()];
    for _ in 1..8 {
        devices.push(alice.link().await.device());
    }
    let refused = alice.account.api.login(&alice.name, PASSWORD, None).await;
    assert!(matches!(&refused, Err(ApiError::Problem(problem)) if problem.status == 409));
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::Conflict));
    let linked = alice.account.devices().await.unwrap();
    assert_eq!(linked.iter().map(|device| device.id).collect::<Vec<_>>(), devices);

    // To log in on one of them takes no room.
    assert_eq!(alice.log_in(Some(devices[7])).await.device(), devices[7]);
    alice.account.unlink(devices[3]).await.unwrap();
    assert!(!devices.contains(&alice.link().await.device()));
}

/// Whether nothing lies in this device's inbox.
async fn is_gone(person: &Person) -> bool {
    let bus = support::shared_stack().await.bus().await.unwrap();
    let inboxes = nats::Inboxes::new(bus);
    inboxes.read_leader(person.user(), person.device(), 0).await.unwrap().is_none()
}
