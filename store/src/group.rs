//! Groups: who is in them, and what each member may change.
//!
//! The rules are here and pure. A store reads a group, asks [`Group::apply`],
//! and stores the outcome if nobody else changed the group meanwhile.

use schemas::{
    GroupId, MediaId, Millis, UserId,
    body::{Event, Role},
    limits::GROUP_MEMBERS,
};

use crate::error::DirectoryError;

/// A group chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which.
    pub id: GroupId,
    /// Shown to its members.
    pub name: String,
    /// Its picture.
    pub picture: Option<MediaId>,
    /// At most [`GROUP_MEMBERS`], in the order they joined. A group that is
    /// stored has at least one, and one of them is an admin.
    pub members: Vec<Member>,
    /// 1 when the group is made, and one more with every change: of two copies
    /// of a group, the one with the higher version is the newer.
    pub version: u64,
}

/// Somebody in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub role: Role,
    /// When they joined, in milliseconds since 1970.
    pub joined: Millis,
}

/// What somebody wants changed in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// Another name or picture, which every member may give it.
    Edit(GroupPatch),
    /// A member, put there by an admin.
    Put {
        /// Who.
        user: UserId,
        /// What they may do from now on. Without it somebody new is a
        /// `member`, and who is in the group already stays what they are.
        role: Option<Role>,
    },
    /// A member less: removed by an admin, or leaving.
    Remove {
        /// Who.
        user: UserId,
    },
    /// A role for who is in the group, given or taken by an admin.
    SetRole {
        /// Whose.
        user: UserId,
        /// The new one.
        role: Role,
    },
}

/// Changes to what a group looks like: what is `None` stays, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupPatch {
    /// Shown to its members. The caller has checked its length.
    pub name: Option<String>,
    /// Its picture.
    pub picture: Option<Option<MediaId>>,
}

/// What a change led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOutcome {
    /// The group after it: without members if the last one left, and then deleted.
    pub group: Group,
    /// Whether that is another group than before. It is not when somebody is
    /// added who is in, or removed who is not, or given what they have.
    pub changed: bool,
    /// What is to be told, in this order: nothing when nothing changed, nor of
    /// a picture. Whom to tell is [`GroupOutcome::audience`].
    pub events: Vec<Event>,
}

/// Why a group refuses a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefusal {
    /// Who asks for it is not in the group.
    #[error("only members change a group")]
    NotMember,
    /// Who asks for it is no admin.
    #[error("only admins add, remove and promote")]
    Forbidden,
    /// It has as many members as a group may have.
    #[error("a group has at most {GROUP_MEMBERS} members")]
    Full,
    /// The member it is about is not in the group.
    #[error("there is no such member")]
    NoSuchMember,
    /// The only admin would step down and leave the group without one.
    #[error("the last admin names another one first")]
    LastAdmin,
}

/// Why a call about a group failed.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The group refuses.
    #[error(transparent)]
    Refused(#[from] GroupRefusal),
    /// There is no such group, or the directory does not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl Group {
    /// A new group with its creator as admin, and as members those of `others`
    /// who are someone else, each once.
    ///
    /// # Errors
    /// [`GroupRefusal::Full`] for more than [`GROUP_MEMBERS`], the creator included.
    pub fn new(
        id: GroupId,
        creator: UserId,
        name: String,
        others: &[UserId],
        now: Millis,
    ) -> Result<Self, GroupRefusal> {
        let admin = Member { user: creator, role: Role::Admin, joined: now };
        let mut group = Self { id, name, picture: None, members: vec![admin], version: 1 };
        for user in others {
            if group.member(*user).is_none() {
                group.join(*user, now)?;
            }
        }
        Ok(group)
    }

    /// The member who is that user.
    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.members.iter().find(|member| member.user == user)
    }

    /// Whether that user is one of the admins.
    pub fn has_admin(&self, user: UserId) -> bool {
        self.member(user).is_some_and(|member| member.role == Role::Admin)
    }

    /// Decides whether `actor` may make this change at `now`, and what it leads to.
    ///
    /// What is so already is no error but [unchanged](GroupOutcome::changed),
    /// so that a change can be asked for again; leaving a group that one is not
    /// in counts as that, too.
    ///
    /// # Errors
    /// Why it may not.
    pub fn apply(
        &self,
        actor: UserId,
        change: &GroupChange,
        now: Millis,
    ) -> Result<GroupOutcome, GroupRefusal> {
        let mut group = self.clone();
        let events = match change {
            GroupChange::Remove { user } if *user == actor => group.leave(actor),
            GroupChange::Edit(patch) => {
                self.member(actor).ok_or(GroupRefusal::NotMember)?;
                group.edit(patch)
            }
            GroupChange::Put { user, role } => {
                self.check_admin(actor)?;
                let added = group.add(*user, now)?;
                let given = role.map(|role| group.set_role(*user, role)).transpose()?;
                [added, given.unwrap_or_default()].concat()
            }
            GroupChange::Remove { user } => {
                self.check_admin(actor)?;
                group.remove(*user)
            }
            GroupChange::SetRole { user, role } => {
                self.check_admin(actor)?;
                group.set_role(*user, *role)?
            }
        };
        let changed = group != *self;
        group.version += u64::from(changed);
        Ok(GroupOutcome { group, changed, events })
    }

    fn check_admin(&self, actor: UserId) -> Result<(), GroupRefusal> {
        match self.member(actor).ok_or(GroupRefusal::NotMember)?.role {
            Role::Admin => Ok(()),
            Role::Member => Err(GroupRefusal::Forbidden),
        }
    }

    fn edit(&mut self, patch: &GroupPatch) -> Vec<Event> {
        if let Some(picture) = patch.picture {
            self.picture = picture;
        }
        match &patch.name {
            Some(name) if *name != self.name => {
                self.name.clone_from(name);
                vec![Event::GroupRenamed { name: name.clone() }]
            }
            _ => Vec::new(),
        }
    }

    fn add(&mut self, user: UserId, now: Millis) -> Result<Vec<Event>, GroupRefusal> {
        if self.member(user).is_some() {
            return Ok(Vec::new());
        }
        self.join(user, now)?;
        Ok(vec![Event::MemberAdded { user }])
    }

    fn remove(&mut self, user: UserId) -> Vec<Event> {
        if self.part(user) { vec![Event::MemberRemoved { user }] } else { Vec::new() }
    }

    fn leave(&mut self, user: UserId) -> Vec<Event> {
        if !self.part(user) {
            return Vec::new();
        }
        let mut events = vec![Event::MemberLeft { user }];
        if !self.has_some_admin()
            && let Some(oldest) = self.members.first_mut()
        {
            oldest.role = Role::Admin;
            events.push(Event::MemberRole { user: oldest.user, role: Role::Admin });
        }
        events
    }

    fn set_role(&mut self, user: UserId, role: Role) -> Result<Vec<Event>, GroupRefusal> {
        let member = self.members.iter_mut().find(|member| member.user == user);
        let member = member.ok_or(GroupRefusal::NoSuchMember)?;
        if member.role == role {
            return Ok(Vec::new());
        }
        member.role = role;
        if !self.has_some_admin() {
            return Err(GroupRefusal::LastAdmin);
        }
        Ok(vec![Event::MemberRole { user, role }])
    }

    fn join(&mut self, user: UserId, now: Millis) -> Result<(), GroupRefusal> {
        if self.members.len() >= GROUP_MEMBERS {
            return Err(GroupRefusal::Full);
        }
        self.members.push(Member { user, role: Role::Member, joined: now });
        Ok(())
    }

    /// Answers whether the user was in.
    fn part(&mut self, user: UserId) -> bool {
        let before = self.members.len();
        self.members.retain(|member| member.user != user);
        self.members.len() < before
    }

    fn has_some_admin(&self) -> bool {
        self.members.iter().any(|member| member.role == Role::Admin)
    }
}

impl GroupChange {
    /// Whether everything in this group is as this change would have it: then
    /// a try whose answer was lost may have been stored.
    pub(crate) fn holds_in(&self, group: &Group) -> bool {
        match self {
            Self::Edit(GroupPatch { name, picture }) => {
                name.as_ref().is_none_or(|name| *name == group.name)
                    && picture.is_none_or(|picture| picture == group.picture)
            }
            Self::Put { user, role } => group
                .member(*user)
                .is_some_and(|member| role.is_none_or(|role| member.role == role)),
            Self::Remove { user } => group.member(*user).is_none(),
            Self::SetRole { user, role } => {
                group.member(*user).is_some_and(|member| member.role == *role)
            }
        }
    }
}

impl GroupOutcome {
    /// Whom one of the events is told: everybody who is in the group after it,
    /// and whoever it says is no longer. So the last that somebody hears of a
    /// group is that they are out.
    pub fn audience(&self, event: &Event) -> impl Iterator<Item = UserId> {
        let members = self.group.members.iter().map(|member| member.user);
        members.chain(departed(event))
    }

    /// Who was in the group before and is not after.
    pub(crate) fn departed(&self) -> impl Iterator<Item = UserId> {
        self.events.iter().filter_map(departed)
    }

    /// Who is in the group after and was not before.
    pub(crate) fn joined(&self) -> impl Iterator<Item = UserId> {
        self.events.iter().filter_map(|event| match event {
            Event::MemberAdded { user } => Some(*user),
            _ => None,
        })
    }
}

fn departed(event: &Event) -> Option<UserId> {
    match event {
        Event::MemberLeft { user } | Event::MemberRemoved { user } => Some(*user),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
