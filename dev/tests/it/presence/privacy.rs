//! Who may know what of whom.

use schemas::http::{LastSeen, PatchMe, PatchSettings};

use super::{hears_last_seen, looks, offline, online};
use crate::people::{FIRST, Person, SECOND};

/// Hides, or shows, when somebody was last seen.
async fn shows_last_seen(person: &Person, last_seen: LastSeen) {
    let settings = PatchSettings { last_seen: Some(last_seen), ..PatchSettings::default() };
    let patch = PatchMe { settings: Some(settings), ..PatchMe::default() };
    person.account.patch_me(&patch).await.unwrap();
}

#[tokio::test]
async fn last_seen_is_hidden_from_others_and_shown_again() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(SECOND).await;
    a.watches(&[&bob]).await;
    assert_eq!(a.hears_presence().await, [offline(&bob)]);
    let b = bob.connect(FIRST).await;
    assert_eq!(a.hears_presence().await, [online(&bob)]);
    shows_last_seen(&bob, LastSeen::Nobody).await;
    b.hangs_up().await;
    assert_eq!(a.hears_presence().await, [offline(&bob)], "online is shown, last_seen is not");
    assert_eq!(looks(&alice, &[&bob]).await, [offline(&bob)]);
    assert!(looks(&bob, &[&bob]).await[0].last_seen.is_some(), "to oneself");
    shows_last_seen(&bob, LastSeen::Everyone).await;
    hears_last_seen(&mut a, &bob).await;
}

#[tokio::test]
async fn whom_a_user_blocked_sees_them_offline_and_nothing_change() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(SECOND).await;
    let b = bob.connect(FIRST).await;
    a.watches(&[&bob]).await;
    while a.hears_presence().await != [online(&bob)] {}

    bob.account.block(alice.user()).await.unwrap();
    assert_eq!(a.hears_presence().await, [offline(&bob)]);
    assert_eq!(looks(&alice, &[&bob]).await, [offline(&bob)]);
    // Neither what he changes nor that he comes and goes can be seen.
    shows_last_seen(&bob, LastSeen::Nobody).await;
    shows_last_seen(&bob, LastSeen::Everyone).await;
    let tablet = bob.link().await.connect(SECOND).await;
    a.watches(&[&bob]).await;
    assert_eq!(a.hears_presence().await, [offline(&bob)]);

    bob.account.unblock(alice.user()).await.unwrap();
    assert_eq!(a.hears_presence().await, [online(&bob)], "the next thing that is told");
    // It does not hold the other way round: she blocks him, and sees him.
    alice.account.block(bob.user()).await.unwrap();
    assert_eq!(looks(&alice, &[&bob]).await, [online(&bob)]);
    assert_eq!(looks(&bob, &[&alice]).await, [offline(&alice)]);
    tablet.hangs_up().await;
    b.hangs_up().await;
    hears_last_seen(&mut a, &bob).await;
}
