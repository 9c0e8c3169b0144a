//! A hundred places, and no more, however many race for the last one.

use futures_util::future::join_all;
use schemas::{ErrorCode, UserId, body::Event, limits::GROUP_MEMBERS};

use super::{Club, code, create, crowd, told};
use crate::{
    people::{FIRST, SECOND},
    support,
};

#[tokio::test(flavor = "multi_thread")]
async fn who_races_for_the_last_place_gets_it_alone() {
    const RACERS: usize = 8;
    let stack = support::shared_stack().await;
    let people = crowd(stack, GROUP_MEMBERS - 1 + RACERS).await;
    let (members, racers) = people.split_at(GROUP_MEMBERS - 1);
    let users: Vec<UserId> = people.iter().map(|person| person.user()).collect();
    let admin = &members[0];

    let too_many = create(admin, "x", &users[..GROUP_MEMBERS + 1]).await;
    assert_eq!(code(too_many), ErrorCode::GroupFull);
    let group = create(admin, "nearly full", &users[..GROUP_MEMBERS - 1]).await.unwrap();
    assert_eq!(group.members.len(), GROUP_MEMBERS - 1);
    let club = Club(group.id);

    let races = racers.iter().enumerate().map(|(n, racer)| {
        let gateway = if n % 2 == 0 { FIRST } else { SECOND };
        club.add(admin, gateway, racer)
    });
    let mut winners = Vec::new();
    for (racer, added) in racers.iter().zip(join_all(races).await) {
        match added {
            Ok(group) => winners.push((racer, group)),
            refused => assert_eq!(code(refused), ErrorCode::GroupFull),
        }
    }
    let [(winner, group)] = &winners[..] else { panic!("{} winners", winners.len()) };
    assert_eq!(group.members.len(), GROUP_MEMBERS);
    assert_eq!(club.read(winner, SECOND).await.unwrap(), *group);

    let added = (admin.user(), Event::MemberAdded { user: winner.user() });
    let items = members[50].fetch(FIRST).await.items;
    assert_eq!(&told(club, &items)[1..], std::slice::from_ref(&added));
    assert_eq!(told(club, &winner.fetch(SECOND).await.items), [added]);
    for loser in racers.iter().filter(|racer| racer.user() != winner.user()) {
        assert!(loser.fetch(FIRST).await.items.is_empty());
    }

    // With one gone there is a place again.
    club.remove(admin, FIRST, winner).await.unwrap();
    club.add(admin, SECOND, winner).await.unwrap();
}
