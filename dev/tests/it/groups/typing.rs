//! Who types in a group, and who is told.

use schemas::server::Frame;

use super::{Club, line};
use crate::people::{FIRST, Person, SECOND};

#[tokio::test]
async fn members_who_are_there_are_told_and_the_blocked_are_not() {
    let [alice, bob, carol, dave, eve] = Person::several().await;
    let club = Club::of(&[&alice, &bob, &carol, &dave, &eve]).await;
    carol.account.block(alice.user()).await.unwrap();
    alice.account.block(dave.user()).await.unwrap();
    let tablet = bob.link().await;
    let mut a = line(&alice, FIRST).await;
    let mut told = [line(&bob, FIRST).await, line(&tablet, SECOND).await];
    let mut untold = [line(&carol, SECOND).await, line(&dave, FIRST).await];

    for on in [true, false] {
        a.types(club.chat(), on).await;
        for line in &mut told {
            let expected = Frame::Typing { chat: club.chat(), from: alice.user(), on };
            assert_eq!(line.hears().await, expected);
        }
    }
    // A message that follows is the next that the others hear.
    a.sends(club.text("m1")).await;
    for line in &mut untold {
        assert_eq!(line.gets().await.id.as_str(), "m1");
    }
    a.is_quiet().await;
    // Nothing of it was stored.
    assert_eq!(eve.fetch(FIRST).await.items.len(), 2, "the creation and a message");
}
