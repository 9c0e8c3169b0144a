//! Groups as they are stored.

use std::collections::HashMap;

use schemas::{GroupId, MediaId, Millis, UserId, body::Role};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::group::{Group, GroupChange, GroupOutcome, GroupRefusal, Member};

/// A group with its members.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GroupDocument {
    id: GroupId,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    picture: Option<MediaId>,
    members: Vec<MemberDocument>,
    version: u64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Serialize, Deserialize)]
struct MemberDocument {
    user: UserId,
    role: Role,
    joined: Millis,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl GroupDocument {
    pub(crate) fn new(group: &Group) -> Self {
        let Group { id, name, picture, members, version } = group;
        Self {
            id: *id,
            name: name.clone(),
            picture: *picture,
            members: members.iter().map(|member| MemberDocument::new(*member)).collect(),
            version: *version,
            rest: Map::new(),
        }
    }

    pub(crate) fn id(&self) -> GroupId {
        self.id
    }

    pub(crate) fn has_member(&self, user: UserId) -> bool {
        self.members.iter().any(|member| member.user == user)
    }

    pub(crate) fn to_group(&self) -> Group {
        Group {
            id: self.id,
            name: self.name.clone(),
            picture: self.picture,
            members: self.members.iter().map(MemberDocument::to_member).collect(),
            version: self.version,
        }
    }

    /// As [`Group::apply`], on the document.
    pub(crate) fn apply(
        &mut self,
        actor: UserId,
        change: &GroupChange,
        now: Millis,
    ) -> Result<GroupOutcome, GroupRefusal> {
        let outcome = self.to_group().apply(actor, change, now)?;
        let known = self.members.drain(..).map(|member| (member.user, member.rest));
        let mut known: HashMap<UserId, Map<String, Value>> = known.collect();
        let rest = std::mem::take(&mut self.rest);
        *self = Self { rest, ..Self::new(&outcome.group) };
        for member in &mut self.members {
            member.rest = known.remove(&member.user).unwrap_or_default();
        }
        Ok(outcome)
    }
}

impl MemberDocument {
    fn new(member: Member) -> Self {
        let Member { user, role, joined } = member;
        Self { user, role, joined, rest: Map::new() }
    }

    fn to_member(&self) -> Member {
        Member { user: self.user, role: self.role, joined: self.joined }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn group() -> Group {
        let others = [UserId::mint(), UserId::mint()];
        let (id, creator) = (GroupId::mint(), UserId::mint());
        Group::new(id, creator, "Engines".into(), &others, Millis(1)).unwrap()
    }

    #[test]
    fn a_group_is_read_back_as_it_was_made() {
        let group = Group { picture: Some(MediaId::mint()), ..group() };
        let stored = serde_json::to_string(&GroupDocument::new(&group)).unwrap();
        let read: GroupDocument = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.to_group(), group);
    }

    #[test]
    fn fields_of_a_newer_version_survive_every_change() {
        let group = group();
        let [admin, gone, kept] = [0, 1, 2].map(|number: usize| group.members[number].user);
        let mut stored = serde_json::to_value(GroupDocument::new(&group)).unwrap();
        stored["topic"] = json!("steam");
        stored["members"][1]["muted"] = json!("no more");
        stored["members"][2]["muted"] = json!(true);

        let mut document: GroupDocument = serde_json::from_value(stored).unwrap();
        document.apply(admin, &GroupChange::Remove { user: gone }, Millis(2)).unwrap();
        document.apply(admin, &GroupChange::Put { user: gone, role: None }, Millis(3)).unwrap();
        let promote = GroupChange::SetRole { user: kept, role: Role::Admin };
        let outcome = document.apply(admin, &promote, Millis(4)).unwrap();
        assert_eq!(document.to_group(), outcome.group);

        let stored = serde_json::to_value(&document).unwrap();
        assert_eq!(stored["topic"], "steam");
        assert_eq!(stored["members"][1]["muted"], true);
        assert_eq!(stored["members"][1]["role"], "admin");
        assert_eq!(stored["members"][2].get("muted"), None);
    }
}
