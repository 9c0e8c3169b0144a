#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const NOW: Millis = Millis(1_700_000_000_000);
const LATER: Millis = Millis(1_700_000_001_000);

fn people(count: u64) -> Vec<UserId> {
    (0..count).map(|number| UserId::from_parts(number, 7)).collect()
}

fn group(people: &[UserId]) -> Group {
    Group::new(GroupId::from_parts(1, 1), people[0], "Engines".into(), &people[1..], NOW).unwrap()
}

/// A change that has to be accepted, and to change something.
fn changed(group: &Group, actor: UserId, change: GroupChange) -> GroupOutcome {
    let outcome = group.apply(actor, &change, LATER).unwrap();
    assert!(outcome.changed, "{change:?} changed nothing");
    assert_eq!(outcome.group.version, group.version + 1);
    outcome
}

fn refused(group: &Group, actor: UserId, change: GroupChange) -> GroupRefusal {
    group.apply(actor, &change, LATER).unwrap_err()
}

fn roles(group: &Group) -> Vec<(UserId, Role)> {
    group.members.iter().map(|member| (member.user, member.role)).collect()
}

#[test]
fn a_new_group_has_its_creator_first_and_everyone_once() {
    let people = people(3);
    let others = [people[1], people[0], people[2], people[1]];
    let id = GroupId::mint();
    let group = Group::new(id, people[0], "Engines".into(), &others, NOW).unwrap();
    let expected = [(people[0], Role::Admin), (people[1], Role::Member), (people[2], Role::Member)];
    assert_eq!(roles(&group), expected);
    assert_eq!((group.id, group.version, group.members[2].joined), (id, 1, NOW));
}

#[test]
fn a_group_is_made_with_at_most_a_hundred() {
    let people = people(101);
    let id = GroupId::mint();
    let make = |others: &[UserId]| Group::new(id, people[0], "Engines".into(), others, NOW);
    let full = make(&people[1..100]).unwrap();
    assert_eq!(full.members.len(), GROUP_MEMBERS);
    assert_eq!(make(&people[1..]), Err(GroupRefusal::Full));
    let repeated = [&people[..100], &people[..100]].concat();
    assert_eq!(make(&repeated).unwrap(), full);

    let add = |number: usize| GroupChange::Put { user: people[number], role: None };
    assert_eq!(refused(&full, people[0], add(100)), GroupRefusal::Full);
    let repeat = full.apply(people[0], &add(50), LATER).unwrap();
    assert!(!repeat.changed);
}

#[test]
fn admins_add_remove_and_promote_and_members_do_not() {
    let people = people(4);
    let group = group(&people[..3]);
    let (admin, member, stranger, outside) = (people[0], people[1], people[3], people[3]);

    let changes = [
        GroupChange::Put { user: outside, role: None },
        GroupChange::Remove { user: people[2] },
        GroupChange::SetRole { user: people[2], role: Role::Admin },
    ];
    for change in changes {
        assert_eq!(refused(&group, member, change.clone()), GroupRefusal::Forbidden);
        assert_eq!(refused(&group, stranger, change.clone()), GroupRefusal::NotMember);
        changed(&group, admin, change);
    }
    let unknown = GroupChange::SetRole { user: outside, role: Role::Admin };
    assert_eq!(refused(&group, admin, unknown), GroupRefusal::NoSuchMember);
}

#[test]
fn every_member_may_give_it_another_face() {
    let people = people(3);
    let group = group(&people[..2]);
    let picture = MediaId::mint();
    let patch = GroupPatch { name: Some("Motors".into()), picture: Some(Some(picture)) };
    let edit = GroupChange::Edit(patch);
    assert_eq!(refused(&group, people[2], edit.clone()), GroupRefusal::NotMember);

    let outcome = changed(&group, people[1], edit.clone());
    assert_eq!(outcome.events, [Event::GroupRenamed { name: "Motors".into() }]);
    assert_eq!((outcome.group.name.as_str(), outcome.group.picture), ("Motors", Some(picture)));
    assert!(!outcome.group.apply(people[1], &edit, LATER).unwrap().changed);

    let clear = GroupChange::Edit(GroupPatch { picture: Some(None), ..GroupPatch::default() });
    let outcome = changed(&outcome.group, people[0], clear);
    assert_eq!((outcome.group.picture, outcome.events.len()), (None, 0));
}

#[test]
fn who_is_removed_is_told_that_and_who_is_added_comes_last() {
    let people = people(4);
    let group = group(&people[..3]);
    let outcome = changed(&group, people[0], GroupChange::Remove { user: people[1] });
    assert_eq!(outcome.events, [Event::MemberRemoved { user: people[1] }]);
    let audience: Vec<UserId> = outcome.audience(&outcome.events[0]).collect();
    assert_eq!(audience, [people[0], people[2], people[1]]);

    let outcome =
        changed(&outcome.group, people[0], GroupChange::Put { user: people[3], role: None });
    assert_eq!(outcome.events, [Event::MemberAdded { user: people[3] }]);
    let newest = outcome.group.members.last().unwrap();
    assert_eq!((newest.user, newest.role, newest.joined), (people[3], Role::Member, LATER));
    assert!(outcome.audience(&outcome.events[0]).any(|user| user == people[3]));
}

#[test]
fn somebody_new_may_come_as_an_admin() {
    let people = people(3);
    let group = group(&people[..2]);
    let put = |number: usize| GroupChange::Put { user: people[number], role: Some(Role::Admin) };
    let admin = |number: usize| Event::MemberRole { user: people[number], role: Role::Admin };
    let outcome = changed(&group, people[0], put(2));
    assert_eq!(outcome.events, [Event::MemberAdded { user: people[2] }, admin(2)]);
    assert!(outcome.group.has_admin(people[2]));
    let outcome = changed(&outcome.group, people[2], put(1));
    assert_eq!(outcome.events, [admin(1)]);
}

#[test]
fn the_last_admin_leaves_the_group_to_the_oldest_member() {
    let people = people(3);
    let outcome = changed(&group(&people), people[0], GroupChange::Remove { user: people[0] });
    let promoted = Event::MemberRole { user: people[1], role: Role::Admin };
    assert_eq!(outcome.events, [Event::MemberLeft { user: people[0] }, promoted.clone()]);
    assert_eq!(roles(&outcome.group), [(people[1], Role::Admin), (people[2], Role::Member)]);
    // The one who left hears of leaving, and of nothing after it.
    assert!(outcome.audience(&outcome.events[0]).any(|user| user == people[0]));
    assert!(outcome.audience(&promoted).all(|user| user != people[0]));
}

#[test]
fn an_admin_who_is_not_the_last_promotes_nobody_by_leaving() {
    let people = people(3);
    let promote = GroupChange::SetRole { user: people[2], role: Role::Admin };
    let two = changed(&group(&people), people[0], promote).group;
    let outcome = changed(&two, people[0], GroupChange::Remove { user: people[0] });
    assert_eq!(outcome.events, [Event::MemberLeft { user: people[0] }]);
    assert_eq!(roles(&outcome.group), [(people[1], Role::Member), (people[2], Role::Admin)]);
}

#[test]
fn the_last_member_leaves_nobody() {
    let people = people(1);
    let outcome = changed(&group(&people), people[0], GroupChange::Remove { user: people[0] });
    assert_eq!(outcome.group.members, []);
    assert_eq!(outcome.events, [Event::MemberLeft { user: people[0] }]);
    assert_eq!(outcome.audience(&outcome.events[0]).collect::<Vec<_>>(), people);
}

#[test]
fn the_last_admin_does_not_step_down() {
    let people = people(2);
    let group = group(&people);
    let step_down = GroupChange::SetRole { user: people[0], role: Role::Member };
    assert_eq!(refused(&group, people[0], step_down.clone()), GroupRefusal::LastAdmin);
    let promote = GroupChange::SetRole { user: people[1], role: Role::Admin };
    let group = changed(&group, people[0], promote).group;
    let group = changed(&group, people[0], step_down.clone()).group;
    assert_eq!(refused(&group, people[0], step_down), GroupRefusal::Forbidden);
}

#[test]
fn leaving_again_is_no_error() {
    let people = people(2);
    let group = group(&people[..1]);
    let outcome = group.apply(people[1], &GroupChange::Remove { user: people[1] }, LATER).unwrap();
    assert_eq!(outcome, GroupOutcome { group, changed: false, events: Vec::new() });
}

/// Who takes part in the property below, beside members who do nothing.
const ACTORS: usize = 6;

fn any_change() -> impl Strategy<Value = (usize, GroupChange)> {
    let user = || (0..ACTORS).prop_map(|number| people(ACTORS as u64)[number]);
    let role = prop_oneof![Just(Role::Admin), Just(Role::Member)];
    let name = prop_oneof![Just(None), Just(Some("a".to_owned())), Just(Some("b".to_owned()))];
    let picture = prop_oneof![
        Just(None),
        Just(Some(None)),
        Just(Some(Some(MediaId::from_parts(1, 1)))),
        Just(Some(Some(MediaId::from_parts(2, 2)))),
    ];
    let patch = (name, picture).prop_map(|(name, picture)| GroupPatch { name, picture });
    let change = prop_oneof![
        1 => patch.prop_map(GroupChange::Edit),
        3 => (user(), prop::option::of(role.clone())).prop_map(|(user, role)| GroupChange::Put { user, role }),
        3 => user().prop_map(|user| GroupChange::Remove { user }),
        3 => (user(), role).prop_map(|(user, role)| GroupChange::SetRole { user, role }),
    ];
    (0..ACTORS, change)
}

/// What a member's client makes of the events: names and roles by order of joining.
fn as_told(group: &Group, events: &[Event]) -> (String, Vec<(UserId, Role)>) {
    let (mut name, mut known) = (group.name.clone(), roles(group));
    for event in events {
        match event {
            Event::GroupCreated { .. } | Event::MediaReady { .. } | Event::MediaRejected { .. } => {
                panic!("no change of a group: {event:?}")
            }
            Event::GroupRenamed { name: new } => name.clone_from(new),
            Event::MemberAdded { user } => known.push((*user, Role::Member)),
            Event::MemberRemoved { user } | Event::MemberLeft { user } => {
                known.retain(|(known, _)| known != user);
            }
            Event::MemberRole { user, role } => {
                let known = known.iter_mut().find(|(known, _)| known == user);
                known.unwrap().1 = *role;
            }
        }
    }
    (name, known)
}

proptest! {
    /// Whatever anybody tries, for as long as there is a group.
    #[test]
    fn a_group_stays_a_group(
        silent in prop_oneof![Just(0), Just(GROUP_MEMBERS as u64 - 3)],
        steps in prop::collection::vec(any_change(), 1..80),
    ) {
        let actors = people(ACTORS as u64);
        let silent = (0..silent).map(|number| UserId::from_parts(number, 99));
        let others: Vec<UserId> = silent.chain([actors[1]]).collect();
        let mut group = Group::new(GroupId::mint(), actors[0], "a".into(), &others, NOW).unwrap();
        for (actor, change) in steps {
            let actor = actors[actor];
            let (is_member, is_admin) = (group.member(actor).is_some(), group.has_admin(actor));
            let leaves = change == GroupChange::Remove { user: actor };
            let Ok(outcome) = group.apply(actor, &change, LATER) else {
                prop_assert!(!leaves);
                continue;
            };
            let may = is_admin || is_member && matches!(change, GroupChange::Edit(_)) || leaves;
            prop_assert!(may, "{actor} could {change:?}");
            prop_assert!(change.holds_in(&outcome.group));
            prop_assert_eq!(outcome.changed, outcome.group != group);
            prop_assert_eq!(outcome.group.version, group.version + u64::from(outcome.changed));
            let told = as_told(&group, &outcome.events);
            prop_assert_eq!(told, (outcome.group.name.clone(), roles(&outcome.group)));
            // Asked for again, it changes nothing, whoever they are by now.
            if let Ok(again) = outcome.group.apply(actor, &change, LATER) {
                prop_assert!(!again.changed && again.events.is_empty());
            }

            group = outcome.group;
            if group.members.is_empty() {
                return Ok(());
            }
            let mut users: Vec<UserId> = group.members.iter().map(|member| member.user).collect();
            users.sort_unstable();
            users.dedup();
            prop_assert_eq!(users.len(), group.members.len());
            prop_assert!(users.len() <= GROUP_MEMBERS);
            prop_assert!(group.members.iter().any(|member| member.role == Role::Admin));
        }
    }
}
