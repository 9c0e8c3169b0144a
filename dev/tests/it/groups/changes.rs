//! What changes, and what its members are told of it.

use schemas::body::{Event, Role};
use serde_json::{Value, json};

use super::{Club, code, create, groups_of, members, sends, told};
use crate::people::{FIRST, Line, Person, SECOND};

/// Hears this event alone.
async fn hears(line: &mut Line, club: Club, by: &Person, event: Event) {
    let item = line.gets().await;
    assert_eq!(told(club, &[item]), [(by.user(), event)]);
}

#[tokio::test]
async fn a_group_is_made_and_found_by_its_members() {
    let [alice, bob, carol] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let named = [bob.user(), bob.user(), alice.user()];
    let group = create(&alice, "  Chess  ", &named).await.unwrap();
    assert_eq!((group.name.as_str(), group.picture), ("Chess", None));
    let all = [(alice.user(), Role::Admin), (bob.user(), Role::Member)];
    assert_eq!(members(&group), all);

    let club = Club(group.id);
    for line in [&mut a, &mut b] {
        let users = vec![alice.user(), bob.user()];
        let created = Event::GroupCreated { name: "Chess".into(), members: users };
        hears(line, club, &alice, created).await;
    }
    for (person, gateway) in [(&alice, SECOND), (&bob, FIRST)] {
        assert_eq!(club.read(person, gateway).await.unwrap(), group);
        assert_eq!(groups_of(person, gateway).await, std::slice::from_ref(&group));
    }
    assert_eq!(groups_of(&carol, FIRST).await, []);

    let second = create(&bob, "Go", &[]).await.unwrap();
    assert_eq!(groups_of(&bob, FIRST).await, [group, second]);
}

#[tokio::test]
async fn every_change_is_seen_on_every_screen_and_in_order() {
    let [alice, bob, carol, dave] = Person::several().await;
    let club = Club::of(&[&alice, &bob, &carol]).await;
    let mut lines = Vec::new();
    for (person, gateway) in [(&alice, FIRST), (&bob, SECOND), (&carol, FIRST), (&dave, SECOND)] {
        let mut line = person.hello(gateway).await;
        line.catches_up().await;
        lines.push(line);
    }

    let group = club.rename(&bob, SECOND, "by a member").await.unwrap();
    assert_eq!(group.name, "by a member");
    let group = club.add(&alice, FIRST, &dave).await.unwrap();
    assert_eq!(members(&group)[3], (dave.user(), Role::Member));
    let group = club.promote(&alice, SECOND, &bob, Role::Admin).await.unwrap();
    assert_eq!(members(&group)[1], (bob.user(), Role::Admin));
    club.remove(&bob, SECOND, &carol).await.unwrap();
    club.promote(&bob, FIRST, &alice, Role::Member).await.unwrap();
    club.remove(&dave, FIRST, &dave).await.unwrap();
    let group = club.read(&alice, SECOND).await.unwrap();
    assert_eq!(members(&group), [(alice.user(), Role::Member), (bob.user(), Role::Admin)]);

    let role = |person: &Person, role| Event::MemberRole { user: person.user(), role };
    let all = [
        (bob.user(), Event::GroupRenamed { name: "by a member".into() }),
        (alice.user(), Event::MemberAdded { user: dave.user() }),
        (alice.user(), role(&bob, Role::Admin)),
        (bob.user(), Event::MemberRemoved { user: carol.user() }),
        (bob.user(), role(&alice, Role::Member)),
        (dave.user(), Event::MemberLeft { user: dave.user() }),
    ];
    let screens = [&all[..], &all[..], &all[..4], &all[1..]];
    for (line, expected) in lines.iter_mut().zip(screens) {
        let items = line.gets_all(expected.len()).await;
        assert_eq!(told(club, &items), expected);
        assert!(items.is_sorted_by_key(|item| item.ts), "for who sorts by ts");
        line.is_quiet().await;
    }
}

#[tokio::test]
async fn events_lie_among_the_messages_and_in_every_inbox() {
    let [alice, bob] = Person::several().await;
    let desk = alice.link().await;
    let club = Club::of(&[&alice, &bob]).await;
    let mut b = bob.hello(SECOND).await;
    b.catches_up().await;
    sends(&mut b, club.text("before")).await;
    club.rename(&alice, FIRST, "new").await.unwrap();
    sends(&mut b, club.text("after")).await;
    for device in [&alice, &desk] {
        let items = device.fetch(FIRST).await.items;
        assert_eq!(items.len(), 4);
        assert_eq!(told(club, &items[..1]).len(), 1, "the creation");
        assert_eq!(items[1].id.as_str(), "before");
        let renamed = Event::GroupRenamed { name: "new".into() };
        assert_eq!(told(club, &items[2..3]), [(alice.user(), renamed)]);
        assert_eq!(items[3].id.as_str(), "after");
    }
}

#[tokio::test]
async fn what_is_so_already_is_answered_and_told_to_nobody() {
    let [alice, bob, carol] = Person::several().await;
    let club = Club::of(&[&alice, &bob]).await;
    let mut b = bob.hello(SECOND).await;
    b.catches_up().await;
    let before = club.read(&bob, FIRST).await.unwrap();

    assert_eq!(club.add(&alice, SECOND, &bob).await.unwrap(), before);
    assert_eq!(club.promote(&alice, FIRST, &bob, Role::Member).await.unwrap(), before);
    assert_eq!(club.rename(&bob, FIRST, "club").await.unwrap(), before);
    club.remove(&alice, FIRST, &carol).await.unwrap();
    club.remove(&carol, FIRST, &carol).await.unwrap();
    let clear = Some(json!({"picture": null, "name": null, "unknown": 1}));
    let patched = super::call(&alice, FIRST, reqwest::Method::PATCH, &club.path(), clear).await;
    assert_eq!(patched.ok(), Some(before));
    b.is_quiet().await;
}

#[tokio::test]
async fn who_is_put_there_as_an_admin_is_one() {
    let [alice, bob] = Person::several().await;
    let club = Club::of(&[&alice]).await;
    let mut b = bob.connect(SECOND).await;
    let group = club.promote(&alice, FIRST, &bob, Role::Admin).await.unwrap();
    assert_eq!(members(&group)[1], (bob.user(), Role::Admin));
    let added = Event::MemberAdded { user: bob.user() };
    let role = Event::MemberRole { user: bob.user(), role: Role::Admin };
    let items = b.gets_all(2).await;
    assert_eq!(told(club, &items), [(alice.user(), added), (alice.user(), role)]);
}

#[tokio::test]
async fn the_last_admin_who_leaves_makes_the_oldest_member_one_and_the_last_member_ends_it() {
    let [alice, bob, carol] = Person::several().await;
    let club = Club::of(&[&alice, &bob]).await;
    club.add(&alice, FIRST, &carol).await.unwrap();
    club.remove(&alice, FIRST, &alice).await.unwrap();

    let left = (alice.user(), Event::MemberLeft { user: alice.user() });
    let role = Event::MemberRole { user: bob.user(), role: Role::Admin };
    let items = alice.fetch(SECOND).await.items;
    assert_eq!(told(club, &items).last(), Some(&left), "the last that she hears");
    let items = bob.fetch(SECOND).await.items;
    assert_eq!(told(club, &items)[2..], [left, (alice.user(), role)]);

    let group = club.read(&bob, FIRST).await.unwrap();
    assert_eq!(members(&group), [(bob.user(), Role::Admin), (carol.user(), Role::Member)]);
    for last in [&bob, &carol] {
        club.remove(last, SECOND, last).await.unwrap();
        assert_eq!(groups_of(last, FIRST).await, []);
    }
    assert_eq!(code(club.read(&carol, FIRST).await), schemas::ErrorCode::NotFound);
    let refused = carol.hello(FIRST).await.refused_after_backlog(club.text("m1")).await;
    assert_eq!(refused, schemas::ErrorCode::NotFound);
}

impl Line {
    /// Takes what waits, sends, and is refused.
    async fn refused_after_backlog(mut self, message: Value) -> schemas::ErrorCode {
        self.catches_up().await;
        self.is_refused(message).await
    }
}
