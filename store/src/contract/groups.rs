//! Groups: who is in them, and who finds them. What a group lets whom do is
//! tested where it is decided, in `group.rs`; here, that the directory keeps to it.

use std::slice;

use schemas::{
    GroupId, MediaId, UserId,
    body::{Event, Role},
    limits::GROUP_MEMBERS,
};

use super::Tested;
use crate::{
    DirectoryError, Group, GroupChange, GroupError, GroupOutcome, GroupPatch, GroupRefusal,
};

pub(super) fn people(count: usize) -> Vec<UserId> {
    (0..count).map(|_| UserId::mint()).collect()
}

/// A group of these people, the first of whom is its admin.
pub(super) async fn group(directory: &Tested, people: &[UserId]) -> Group {
    let made = directory.create_group(people[0], "Engines".into(), &people[1..]).await;
    made.expect("makes a group")
}

pub(super) async fn stored(directory: &Tested, id: GroupId) -> Group {
    directory.group_fresh(id).await.expect("answers").expect("there")
}

pub(super) async fn finds(directory: &Tested, user: UserId, id: GroupId) -> bool {
    let groups = directory.groups_of(user).await.expect("answers");
    groups.iter().any(|group| group.id == id)
}

pub(super) fn users(group: &Group) -> Vec<UserId> {
    group.members.iter().map(|member| member.user).collect()
}

pub(super) fn is_refused<T>(result: &Result<T, GroupError>, reason: GroupRefusal) -> bool {
    matches!(result, Err(GroupError::Refused(refusal)) if *refusal == reason)
}

fn is_unknown<T>(result: &Result<T, GroupError>) -> bool {
    matches!(result, Err(GroupError::Directory(DirectoryError::NotFound(_))))
}

/// A group that was made is there, as made, and its members find it.
pub async fn a_group_that_was_made_is_found(directory: Tested) {
    let people = people(4);
    let group = group(&directory, &people).await;
    assert_eq!((group.name.as_str(), group.version), ("Engines", 1));
    assert_eq!(users(&group), people);
    assert!(group.has_admin(people[0]) && !group.has_admin(people[1]));
    assert_eq!(directory.group(group.id).await.expect("answers"), Some(group.clone()));
    assert_eq!(stored(&directory, group.id).await, group);
    for user in &people {
        let groups = directory.groups_of(*user).await.expect("answers");
        assert_eq!(groups, slice::from_ref(&group));
    }
    assert_eq!(directory.groups_of(UserId::mint()).await.expect("answers"), []);
}

/// Its creator and everybody else are in it once, and no more than the limit.
pub async fn a_group_is_made_with_at_most_the_limit(directory: Tested) {
    let people = people(GROUP_MEMBERS + 1);
    let others = [&people[..GROUP_MEMBERS], &people[..GROUP_MEMBERS]].concat();
    let made = directory.create_group(people[0], "Engines".into(), &others).await;
    let full = made.expect("makes a group");
    assert_eq!(users(&full), people[..GROUP_MEMBERS]);
    assert_eq!(stored(&directory, full.id).await, full);

    let refused = directory.create_group(people[0], "Engines".into(), &people).await;
    assert!(is_refused(&refused, GroupRefusal::Full), "{refused:?}");
    let groups = directory.groups_of(people[1]).await.expect("answers");
    assert_eq!(groups, slice::from_ref(&full));
    assert_eq!(directory.groups_of(people[GROUP_MEMBERS]).await.expect("answers"), []);

    let refused = directory.add_member(full.id, people[0], people[GROUP_MEMBERS], None).await;
    assert!(is_refused(&refused, GroupRefusal::Full), "{refused:?}");
    let again = directory.add_member(full.id, people[0], people[50], None).await.expect("is in");
    assert!(!again.changed);
    assert_eq!(stored(&directory, full.id).await, full);
}

/// Each change is in the answer, in the store, and in what its members find.
pub async fn members_come_and_go(directory: Tested) {
    let people = people(4);
    let [admin, member, gone, new] = [people[0], people[1], people[2], people[3]];
    let id = group(&directory, &people[..3]).await.id;

    let added = directory.add_member(id, admin, new, None).await.expect("adds");
    assert_eq!(added.events, [Event::MemberAdded { user: new }]);
    assert!(finds(&directory, new, id).await);
    let removed = directory.remove_member(id, admin, gone).await.expect("removes");
    assert_eq!(removed.events, [Event::MemberRemoved { user: gone }]);
    assert!(!finds(&directory, gone, id).await);
    let promoted = directory.set_role(id, admin, member, Role::Admin).await.expect("promotes");
    assert_eq!(promoted.events, [Event::MemberRole { user: member, role: Role::Admin }]);
    let left = directory.remove_member(id, admin, admin).await.expect("leaves");
    assert_eq!(left.events, [Event::MemberLeft { user: admin }]);
    assert!(!finds(&directory, admin, id).await);
    let back = directory.add_member(id, member, admin, None).await.expect("adds");
    assert!(finds(&directory, admin, id).await);

    let group = stored(&directory, id).await;
    assert_eq!(users(&group), [member, new, admin]);
    assert!(group.has_admin(member) && !group.has_admin(admin));
    assert_eq!((group.version, back.group), (6, group.clone()));
    assert_eq!(directory.groups_of(member).await.expect("answers"), [group]);
}

/// A patch changes what it names.
pub async fn a_group_gets_another_face(directory: Tested) {
    let people = people(2);
    let group = group(&directory, &people).await;
    let picture = MediaId::mint();
    let both = GroupPatch { name: Some("Motors".into()), picture: Some(Some(picture)) };
    let outcome = directory.update_group(group.id, people[1], both).await.expect("changes");
    assert_eq!(outcome.events, [Event::GroupRenamed { name: "Motors".into() }]);
    let expected = Group { name: "Motors".into(), picture: Some(picture), version: 2, ..group };
    assert_eq!(stored(&directory, expected.id).await, expected);

    let clear = GroupPatch { picture: Some(None), ..GroupPatch::default() };
    let outcome = directory.update_group(expected.id, people[0], clear).await.expect("changes");
    assert!(outcome.changed && outcome.events.is_empty());
    let expected = Group { picture: None, version: 3, ..expected };
    assert_eq!(stored(&directory, expected.id).await, expected);
}

/// Asked for again, a change is no error and changes nothing.
pub async fn changes_can_be_repeated(directory: Tested) {
    let people = people(4);
    let [admin, member, gone, new] = [people[0], people[1], people[2], people[3]];
    let id = group(&directory, &people[..3]).await.id;
    let name = Some("Motors".to_owned());
    for (actor, change) in [
        (admin, GroupChange::Put { user: new, role: None }),
        (admin, GroupChange::Remove { user: gone }),
        (admin, GroupChange::SetRole { user: member, role: Role::Admin }),
        (member, GroupChange::Edit(GroupPatch { name, ..GroupPatch::default() })),
        (member, GroupChange::Remove { user: member }),
    ] {
        let first = directory.change_group(id, actor, &change).await.expect("changes");
        assert!(first.changed, "{change:?}");
        for _ in 0..2 {
            let again = directory.change_group(id, actor, &change).await.expect("is so already");
            assert_eq!(again, GroupOutcome { changed: false, events: Vec::new(), ..first.clone() });
        }
        assert_eq!(stored(&directory, id).await, first.group);
    }
}

/// What a group refuses leaves it as it was; of no group, nothing can be changed.
pub async fn refusals_change_nothing(directory: Tested) {
    let people = people(3);
    let [admin, member, stranger] = [people[0], people[1], people[2]];
    let group = group(&directory, &people[..2]).await;
    let id = group.id;
    let by_member = directory.add_member(id, member, stranger, None).await;
    assert!(is_refused(&by_member, GroupRefusal::Forbidden), "{by_member:?}");
    let by_stranger = directory.remove_member(id, stranger, member).await;
    assert!(is_refused(&by_stranger, GroupRefusal::NotMember), "{by_stranger:?}");
    let of_stranger = directory.set_role(id, admin, stranger, Role::Admin).await;
    assert!(is_refused(&of_stranger, GroupRefusal::NoSuchMember), "{of_stranger:?}");
    let of_last = directory.set_role(id, admin, admin, Role::Member).await;
    assert!(is_refused(&of_last, GroupRefusal::LastAdmin), "{of_last:?}");
    assert_eq!(stored(&directory, id).await, group);
    assert!(!finds(&directory, stranger, id).await);

    let nowhere = GroupId::mint();
    assert_eq!(directory.group(nowhere).await.expect("answers"), None);
    assert_eq!(directory.group_fresh(nowhere).await.expect("answers"), None);
    let added = directory.add_member(nowhere, admin, member, None).await;
    assert!(is_unknown(&added), "{added:?}");
}

/// A group that everybody has left is not there any more.
pub async fn the_last_one_out_takes_the_group_along(directory: Tested) {
    let people = people(2);
    let id = group(&directory, &people).await.id;
    let first = directory.remove_member(id, people[0], people[0]).await.expect("leaves");
    assert!(first.group.has_admin(people[1]));
    let last = directory.remove_member(id, people[1], people[1]).await.expect("leaves");
    assert_eq!((last.changed, last.group.members.len()), (true, 0));

    assert_eq!(directory.group(id).await.expect("answers"), None);
    assert_eq!(directory.group_fresh(id).await.expect("answers"), None);
    for user in &people {
        assert_eq!(directory.groups_of(*user).await.expect("answers"), []);
        let back = directory.add_member(id, *user, *user, None).await;
        assert!(is_unknown(&back), "{back:?}");
    }
}
