//! Groups changed by many at once, or by one who dies over it.

use std::{future::Future, pin::pin, sync::Arc};

use schemas::{
    GroupId, UserId,
    body::{Event, Role},
    limits::GROUP_MEMBERS,
};

use super::{
    MOST_STEPS, RACERS, Tested,
    groups::{finds, group, is_refused, people, stored, users},
    interrupted, race,
};
use crate::{DirectoryError, GroupChange, GroupError, GroupRefusal};

/// Rounds of a race that has more than one way to end.
const ROUNDS: usize = 8;

/// Does as many things at once as there are racers.
async fn race_of<F, T>(directory: &Tested, each: impl Fn(Tested, usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    race(|number| each(Arc::clone(directory), number)).await
}

fn add(user: UserId) -> GroupChange {
    GroupChange::Put { user, role: None }
}

/// Of many who join at once, as many get in as there are places.
pub async fn the_last_place_in_a_group_has_one_winner(directory: Tested) {
    let people = people(GROUP_MEMBERS - 1 + RACERS);
    let (members, racers) = people.split_at(GROUP_MEMBERS - 1);
    let group = group(&directory, members).await;
    let (id, admin) = (group.id, members[0]);
    let outcomes = race_of(&directory, |directory, number| {
        let user = racers[number];
        async move { (user, directory.add_member(id, admin, user, None).await) }
    });
    let mut winners = Vec::new();
    let mut losers = Vec::new();
    for (user, outcome) in outcomes.await {
        match outcome {
            Ok(outcome) => {
                assert_eq!(outcome.events, [Event::MemberAdded { user }]);
                winners.push(user);
            }
            Err(GroupError::Refused(GroupRefusal::Full)) => losers.push(user),
            Err(error) => panic!("neither won nor lost: {error:?}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(users(&stored(&directory, id).await), [members, &winners].concat());
    assert!(finds(&directory, winners[0], id).await);
    for loser in losers {
        assert!(!finds(&directory, loser, id).await);
    }
}

/// Of many who make the same change at once, one is told that it did.
pub async fn a_change_is_told_once(directory: Tested) {
    let people = people(3);
    let (admin, member, new) = (people[0], people[1], people[2]);
    let id = group(&directory, &people[..2]).await.id;
    for change in [
        add(new),
        GroupChange::SetRole { user: member, role: Role::Admin },
        GroupChange::Remove { user: new },
    ] {
        let outcomes = race_of(&directory, |directory, _| {
            let change = change.clone();
            async move { directory.change_group(id, admin, &change).await.expect("changes") }
        });
        let outcomes = outcomes.await;
        let told = outcomes.iter().filter(|outcome| outcome.changed).count();
        assert_eq!(told, 1, "{change:?}");
    }
    assert_eq!(stored(&directory, id).await.version, 4);
}

/// Who is removed while being promoted is out, and is told so last.
pub async fn removal_and_promotion_take_turns(directory: Tested) {
    for _ in 0..ROUNDS {
        let people = people(2);
        let (admin, member) = (people[0], people[1]);
        let id = group(&directory, &people).await.id;
        let outcomes = race_of(&directory, |directory, number| async move {
            if number % 2 == 0 {
                directory.set_role(id, admin, member, Role::Admin).await
            } else {
                directory.remove_member(id, admin, member).await
            }
        });
        let mut told = Vec::new();
        for outcome in outcomes.await {
            match outcome {
                Ok(outcome) if outcome.changed => told.push(outcome),
                Ok(_) | Err(GroupError::Refused(GroupRefusal::NoSuchMember)) => {}
                Err(error) => panic!("neither done nor too late: {error:?}"),
            }
        }
        told.sort_by_key(|outcome| outcome.group.version);
        let removed = Event::MemberRemoved { user: member };
        let last = told.pop().expect("somebody removed the member");
        assert_eq!(
            (&last.events[..], &last.group),
            (&[removed][..], &stored(&directory, id).await)
        );
        assert!(told.len() <= 1, "{told:?}");
        assert!(!finds(&directory, member, id).await);
    }
}

/// Whoever leaves at the same moment, those who stay have an admin.
pub async fn somebody_is_always_left_in_charge(directory: Tested) {
    const ADMINS: usize = 3;
    let people = people(RACERS + 2);
    let id = group(&directory, &people).await.id;
    for user in &people[1..ADMINS] {
        directory.set_role(id, people[0], *user, Role::Admin).await.expect("promotes");
    }
    let leave = |directory: Tested, number: usize| {
        let user = people[number];
        async move { directory.remove_member(id, user, user).await.expect("leaves") }
    };
    let mut outcomes = race_of(&directory, leave).await;
    outcomes.sort_by_key(|outcome| outcome.group.version);
    for outcome in &outcomes {
        assert!(outcome.changed);
        assert!(outcome.group.members.iter().any(|member| member.role == Role::Admin));
    }
    let group = stored(&directory, id).await;
    assert_eq!(outcomes.pop().map(|last| last.group), Some(group.clone()));
    assert_eq!(users(&group), people[RACERS..]);
    assert!(group.has_admin(people[RACERS]));
}

/// Who is added while the last member leaves is in the group, and in charge of
/// it; or there is no group, and nobody was added.
pub async fn nobody_is_added_to_a_group_that_is_gone(directory: Tested) {
    for _ in 0..ROUNDS {
        let people = people(1 + RACERS);
        let admin = people[0];
        let id = group(&directory, &people[..1]).await.id;
        let outcomes = race_of(&directory, |directory, number| {
            let user = if number == RACERS / 2 { admin } else { people[1 + number] };
            async move {
                if user == admin {
                    directory.remove_member(id, admin, admin).await
                } else {
                    directory.add_member(id, admin, user, None).await
                }
            }
        });
        let mut added = Vec::new();
        for outcome in outcomes.await {
            match outcome {
                Ok(outcome) => added.extend(outcome.joined()),
                Err(GroupError::Refused(GroupRefusal::NotMember)) => {}
                Err(GroupError::Directory(DirectoryError::NotFound(_))) => {}
                Err(error) => panic!("neither added nor too late: {error:?}"),
            }
        }
        added.sort_unstable();
        let group = directory.group_fresh(id).await.expect("answers");
        let mut members = group.as_ref().map(users).unwrap_or_default();
        assert_eq!(group.is_some(), !members.is_empty());
        assert_eq!(group.is_some(), group.is_some_and(|group| group.has_admin(members[0])));
        members.sort_unstable();
        assert_eq!(members, added);
    }
}

/// Two admins who demote each other do not both succeed.
pub async fn two_admins_cannot_depose_each_other(directory: Tested) {
    for _ in 0..ROUNDS {
        let people = people(2);
        let id = group(&directory, &people).await.id;
        directory.set_role(id, people[0], people[1], Role::Admin).await.expect("promotes");
        let outcomes = race_of(&directory, |directory, number| {
            let (actor, other) = (people[number % 2], people[(number + 1) % 2]);
            async move { directory.set_role(id, actor, other, Role::Member).await }
        });
        for outcome in outcomes.await {
            let forbidden = is_refused(&outcome, GroupRefusal::Forbidden);
            assert!(outcome.is_ok() || forbidden, "{outcome:?}");
        }
        let admins = stored(&directory, id).await.members;
        let admins = admins.iter().filter(|member| member.role == Role::Admin);
        assert_eq!(admins.count(), 1);
    }
}

/// However additions and removals of one member interleave, that member finds
/// the group if in it, and only then.
pub async fn who_is_in_a_group_finds_it_whatever_raced(directory: Tested) {
    for _ in 0..ROUNDS {
        let people = people(2);
        let (admin, member) = (people[0], people[1]);
        let id = group(&directory, &people).await.id;
        let outcomes = race_of(&directory, |directory, number| async move {
            if number % 2 == 0 {
                directory.add_member(id, admin, member, None).await
            } else {
                directory.remove_member(id, admin, member).await
            }
        });
        for outcome in outcomes.await {
            outcome.expect("changes");
        }
        let is_in = stored(&directory, id).await.member(member).is_some();
        assert_eq!(finds(&directory, member, id).await, is_in);
    }
}

/// The same, at every step at which one of them can overtake the other.
pub async fn who_is_in_a_group_finds_it_whoever_overtook(directory: Tested) {
    let people = people(2);
    let (admin, member) = (people[0], people[1]);
    let id = group(&directory, &people[..1]).await.id;
    let (add, remove) = (add(member), GroupChange::Remove { user: member });
    for (slow, fast) in [(&add, &remove), (&remove, &add)] {
        for steps in 0.. {
            assert!(steps < MOST_STEPS, "{slow:?} takes more than {MOST_STEPS} steps");
            directory.change_group(id, admin, fast).await.expect("changes");
            let mut slow = pin!(directory.change_group(id, admin, slow));
            let done = interrupted(slow.as_mut(), steps).await;
            directory.change_group(id, admin, fast).await.expect("changes");
            let is_done = done.is_some();
            let outcome = if let Some(outcome) = done { outcome } else { slow.await };
            outcome.expect("changes");
            let is_in = stored(&directory, id).await.member(member).is_some();
            assert_eq!(finds(&directory, member, id).await, is_in, "after {steps} steps");
            if is_done {
                break;
            }
        }
    }
}

/// A change that stops at any step can be made, or undone, as if it never was.
pub async fn an_interrupted_change_is_made_or_undone(directory: Tested) {
    let people = people(2);
    let (admin, member) = (people[0], people[1]);
    let id = group(&directory, &people[..1]).await.id;
    let (add, remove) = (add(member), GroupChange::Remove { user: member });
    for (first, opposite) in [(&add, &remove), (&remove, &add)] {
        for second in [&add, &remove] {
            for steps in 0.. {
                assert!(steps < MOST_STEPS, "{first:?} takes more than {MOST_STEPS} steps");
                directory.change_group(id, admin, opposite).await.expect("changes");
                let done = directory.change_group(id, admin, first);
                let done = interrupted(done, steps).await;
                settle(&directory, id, admin, second).await;
                if let Some(done) = done {
                    done.expect("changes");
                    break;
                }
            }
        }
    }
}

/// Makes a change after another one of the same member was interrupted, whose
/// last write may be under way yet and may come after this one: so once more.
async fn settle(directory: &Tested, id: GroupId, admin: UserId, change: &GroupChange) {
    const TIMES: usize = 2;
    let (GroupChange::Put { user, .. } | GroupChange::Remove { user }) = change else {
        panic!("neither in nor out: {change:?}");
    };
    let mut seen = Vec::new();
    for _ in 0..TIMES {
        directory.change_group(id, admin, change).await.expect("changes");
        let is_in = stored(directory, id).await.member(*user).is_some();
        let finds = finds(directory, *user, id).await;
        let expected = matches!(change, GroupChange::Put { .. });
        if (is_in, finds) == (expected, expected) {
            return;
        }
        seen.push((is_in, finds));
    }
    panic!("{change:?} led to {seen:?}");
}

/// Groups whose making stops at any step are found by all their members, or by none.
pub async fn an_interrupted_group_is_there_for_all_or_nobody(directory: Tested) {
    for steps in 0..MOST_STEPS {
        let people = people(3);
        let made = directory.create_group(people[0], "Engines".into(), &people[1..]);
        let made = interrupted(made, steps).await;
        if let Some(made) = made {
            assert!(finds(&directory, people[2], made.expect("makes a group").id).await);
            return;
        }
        let of_creator = directory.groups_of(people[0]).await.expect("answers");
        for group in &of_creator {
            assert_eq!(users(group), people, "after {steps} steps");
            assert!(finds(&directory, people[2], group.id).await, "after {steps} steps");
        }
    }
    panic!("making a group takes more than {MOST_STEPS} steps");
}
