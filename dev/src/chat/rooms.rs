//! Which groups there are, who is in them and what happens there, as far as a
//! chat was told. Pure.

use std::collections::BTreeMap;

use schemas::{
    GroupId, UserId,
    body::{Event, Role},
    http::Group,
};

/// The groups that are known.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: BTreeMap<GroupId, Room>,
    unknown: Vec<GroupId>,
}

/// A group; nothing where it was only heard of.
#[derive(Debug, Default)]
struct Room {
    name: Option<String>,
    members: Vec<UserId>,
}

impl Rooms {
    /// Takes in what the server says of a group.
    pub(super) fn read(&mut self, group: &Group) {
        let members = group.members.iter().map(|member| member.user).collect();
        let room = Room { name: Some(group.name.clone()), members };
        self.rooms.insert(group.id, room);
    }

    /// Takes in what happened to a group.
    pub(super) fn happened(&mut self, group: GroupId, event: &Event) {
        self.hear_of(group);
        let Some(room) = self.rooms.get_mut(&group) else { return };
        match event {
            Event::GroupCreated { name, members } => {
                room.name = Some(name.clone());
                room.members.clone_from(members);
                self.unknown.retain(|unknown| *unknown != group);
            }
            Event::GroupRenamed { name } => room.name = Some(name.clone()),
            Event::MemberAdded { user } if !room.members.contains(user) => room.members.push(*user),
            Event::MemberRemoved { user } | Event::MemberLeft { user } => {
                room.members.retain(|member| member != user);
            }
            Event::MemberAdded { .. }
            | Event::MemberRole { .. }
            | Event::MediaReady { .. }
            | Event::MediaRejected { .. } => {}
        }
    }

    /// Something was said in a group: if it is not known it is to be looked up.
    pub(super) fn hear_of(&mut self, group: GroupId) {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.rooms.entry(group) {
            vacant.insert(Room::default());
            self.unknown.push(group);
        }
    }

    /// The groups to be looked up, each told once.
    pub(super) fn take_unknown(&mut self) -> Vec<GroupId> {
        std::mem::take(&mut self.unknown)
    }

    /// The name of a group; until it is known, the id.
    pub(super) fn name(&self, group: GroupId) -> String {
        let name = self.rooms.get(&group).and_then(|room| room.name.clone());
        name.unwrap_or_else(|| group.to_string())
    }

    /// A group of that name.
    pub(super) fn named(&self, name: &str) -> Option<GroupId> {
        let named = |room: &Room| room.name.as_deref() == Some(name);
        self.rooms.iter().find(|(_, room)| named(room)).map(|(group, _)| *group)
    }

    /// Who is in a group, as far as that is known.
    pub(super) fn members(&self, group: GroupId) -> &[UserId] {
        self.rooms.get(&group).map_or(&[], |room| &room.members)
    }
}

/// What happened, with the names that are known.
pub(super) fn in_words<'a>(
    from: UserId,
    event: &Event,
    name: impl Fn(UserId) -> &'a str,
) -> String {
    let from = name(from);
    match event {
        Event::GroupCreated { name, .. } => format!("{from} made {name}"),
        Event::GroupRenamed { name } => format!("{from} named it {name}"),
        Event::MemberAdded { user } => format!("{from} added {}", name(*user)),
        Event::MemberRemoved { user } => format!("{from} removed {}", name(*user)),
        Event::MemberLeft { user } => format!("{} left", name(*user)),
        Event::MemberRole { user, role: Role::Admin } => format!("{} is an admin now", name(*user)),
        Event::MemberRole { user, role: Role::Member } => {
            format!("{} is no admin any more", name(*user))
        }
        Event::MediaReady { mime, size, .. } => format!("uploaded {mime} of {size} bytes"),
        Event::MediaRejected { reason, .. } => format!("an upload was refused: {reason}"),
    }
}

/// Whose names that takes, besides the one who did it.
pub(super) fn concerned(event: &Event) -> &[UserId] {
    match event {
        Event::GroupCreated { members, .. } => members,
        Event::GroupRenamed { .. } | Event::MediaReady { .. } | Event::MediaRejected { .. } => &[],
        Event::MemberAdded { user }
        | Event::MemberRemoved { user }
        | Event::MemberLeft { user }
        | Event::MemberRole { user, .. } => std::slice::from_ref(user),
    }
}

#[cfg(test)]
mod tests {
    use schemas::http::GroupMember;

    use super::*;

    fn user(n: u64) -> UserId {
        UserId::from_parts(n, 0)
    }

    #[test]
    fn a_group_is_looked_up_once_unless_its_making_was_seen() {
        let (seen, heard_of) = (GroupId::from_parts(1, 0), GroupId::from_parts(2, 0));
        let mut rooms = Rooms::default();
        let created = Event::GroupCreated { name: "chess".into(), members: vec![user(1), user(2)] };
        rooms.happened(seen, &created);
        rooms.hear_of(heard_of);
        rooms.hear_of(heard_of);
        assert_eq!(rooms.take_unknown(), [heard_of]);
        assert_eq!(rooms.take_unknown(), []);
        assert_eq!(rooms.name(heard_of), heard_of.to_string());

        let members = vec![GroupMember { user: user(3), role: Role::Admin }];
        rooms.read(&Group { id: heard_of, name: "go".into(), picture: None, members });
        assert_eq!((rooms.named("go"), rooms.named("chess")), (Some(heard_of), Some(seen)));
        assert_eq!(rooms.members(heard_of), [user(3)]);
    }

    #[test]
    fn who_is_in_a_group_follows_its_events() {
        let group = GroupId::from_parts(1, 0);
        let mut rooms = Rooms::default();
        for event in [
            Event::GroupCreated { name: "chess".into(), members: vec![user(1), user(2)] },
            Event::MemberAdded { user: user(3) },
            Event::MemberAdded { user: user(3) },
            Event::MemberLeft { user: user(1) },
            Event::MemberRemoved { user: user(2) },
            Event::MemberRole { user: user(3), role: Role::Admin },
            Event::GroupRenamed { name: "go".into() },
        ] {
            rooms.happened(group, &event);
        }
        assert_eq!((rooms.name(group).as_str(), rooms.members(group)), ("go", &[user(3)][..]));
    }
}
