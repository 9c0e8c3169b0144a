//! Servers come back with what they remember.

use schemas::Millis;
use tempfile::TempDir;

use super::{hears_last_seen, looks, online};
use crate::{
    people::{FIRST, Person, SECOND},
    support,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_who_is_connected_is_told_again() {
    let stack = support::stack().gateways(2).limits(false).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let mut a = alice.connect(FIRST).await;
    let b = bob.connect(SECOND).await;
    a.watches(&[&bob]).await;
    while a.hears_presence().await != [online(&bob)] {}
    let server = &stack.nats().nodes()[0];
    server.kill9().await;
    server.restart().await.unwrap();
    // Nobody was offline, and who leaves now is.
    let before = Millis::now();
    b.hangs_up().await;
    let last_seen = hears_last_seen(&mut a, &bob).await;
    assert!(last_seen >= before);
    let b = bob.connect(FIRST).await;
    assert_eq!(a.hears_presence().await, [online(&bob)]);
    drop(b);
}

#[tokio::test(flavor = "multi_thread")]
async fn last_seen_is_kept_and_who_was_there_at_the_end_is_not_online_for_ever() {
    let folder = TempDir::new().unwrap();
    let stack = async || {
        let stack = support::stack().gateways(2).limits(false).data(folder.path());
        stack.env("PETREL_LEASE_SECS", "3").start().await.unwrap()
    };
    let first = stack().await;
    let [alice, bob, carol] = Person::several_on(&first).await;
    let mut a = alice.connect(FIRST).await;
    a.watches(&[&bob, &carol]).await;
    a.hears_presence().await;
    let b = bob.connect(SECOND).await;
    assert_eq!(a.hears_presence().await, [online(&bob)]);
    b.hangs_up().await;
    let bob_left = hears_last_seen(&mut a, &bob).await;
    let _c = carol.connect(FIRST).await;
    assert_eq!(a.hears_presence().await, [online(&carol)]);
    // Everything dies at once, without a word.
    for process in first.gateways() {
        process.kill9().await;
    }
    first.workers()[0].kill9().await;
    first.nats().nodes()[0].kill9().await;
    let died = Millis::now();
    first.stop().await;
    drop(first);

    let second = stack().await;
    let dave = Person::on(&second).await;
    let mut d = dave.connect(SECOND).await;
    d.watches(&[&bob]).await;
    assert_eq!(hears_last_seen(&mut d, &bob).await, bob_left);
    d.watches(&[&carol]).await;
    let told = d.hears_presence().await;
    let carol_left = match told[0].last_seen {
        Some(last_seen) => last_seen,
        None => hears_last_seen(&mut d, &carol).await,
    };
    assert!(carol_left <= died, "when the gateway was last known to live");
    assert_eq!(looks(&dave, &[&bob, &carol]).await.len(), 2);
    second.stop().await;
}
