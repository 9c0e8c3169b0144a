//! What a person does with groups.

use std::time::Duration;

use schemas::{ChatId, GroupId, UserId, body::Role};
use tokio::time::timeout;

use super::app::{App, FIND_WITHIN, Found};
use crate::client::Account;

/// Longest wait for a change of a group, which waits for all gateways.
const CHANGE_WITHIN: Duration = Duration::from_secs(30);

/// A change of the group that is talked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupCommand {
    /// Add somebody.
    Add(String),
    /// Remove somebody.
    Remove(String),
    /// Make somebody an admin.
    Promote(String),
    /// Give it another name.
    Rename(String),
    /// Leave it.
    Leave,
}

impl App {
    /// Makes a group and talks in it.
    pub(super) async fn make_group(&mut self, name: &str) {
        match timeout(CHANGE_WITHIN, self.account.create_group(name, &[])).await {
            Ok(Ok(group)) => {
                self.model.rooms.read(&group);
                self.talk_in(group.id);
            }
            Ok(Err(error)) => self.model.inform(&format!("no group is made: {error}")),
            Err(_) => self.model.inform("no group is made: no answer"),
        }
    }

    /// Talks in the group of that name.
    pub(super) async fn talk_in_group(&mut self, name: &str) {
        if self.model.rooms.named(name).is_none() {
            self.look_at_groups().await;
        }
        match self.model.rooms.named(name) {
            Some(group) => self.talk_in(group),
            None => self.model.inform(&format!("you are in no group called {name}")),
        }
    }

    /// Tells which groups there are.
    pub(super) async fn list_groups(&mut self) {
        let names = self.look_at_groups().await;
        match names.as_slice() {
            [] => self.model.inform("you are in no group: /group NAME makes one"),
            names => self.model.inform(&format!("your groups: {}", names.join(", "))),
        }
    }

    /// Tells who is in the group.
    pub(super) fn list_members(&mut self) {
        let Some(group) = self.group() else { return };
        let members = self.model.rooms.members(group).iter();
        let names: Vec<&str> = members.map(|member| self.model.user_name(*member)).collect();
        let names = names.join(", ");
        self.model.inform(&format!("in {}: {names}", self.model.rooms.name(group)));
    }

    /// Starts a change of the group; what comes of it is told when it is known.
    pub(super) async fn change_group(&mut self, command: GroupCommand) {
        let Some(group) = self.group() else { return };
        let (account, found) = (self.account.clone(), self.found.clone());
        tokio::spawn(async move {
            let told = match timeout(CHANGE_WITHIN, carry_out(&account, group, command)).await {
                Ok(Ok(())) => return,
                Ok(Err(why)) => format!("the group is not changed: {why}"),
                Err(_) => "the group may not be changed: no answer".to_owned(),
            };
            // The chat may be over.
            let _ = found.send(Found::Told(told)).await;
        });
    }

    fn talk_in(&mut self, group: GroupId) {
        let chat = ChatId::Group(group);
        self.model.talk_in(chat);
        self.model.inform(&format!("talking in {}", self.model.chat_name(chat)));
    }

    /// The group that is talked in.
    fn group(&mut self) -> Option<GroupId> {
        match self.model.current() {
            Some(ChatId::Group(group)) => Some(group),
            _ => {
                self.model.inform("this is no group: /to #NAME talks in one");
                None
            }
        }
    }

    /// Asks for all groups; their names.
    async fn look_at_groups(&mut self) -> Vec<String> {
        match timeout(FIND_WITHIN, self.account.groups()).await {
            Ok(Ok(groups)) => {
                groups.iter().for_each(|group| self.model.rooms.read(group));
                groups.into_iter().map(|group| group.name).collect()
            }
            Ok(Err(error)) => {
                self.model.inform(&format!("cannot see your groups: {error}"));
                Vec::new()
            }
            Err(_) => {
                self.model.inform("cannot see your groups: no answer");
                Vec::new()
            }
        }
    }
}

async fn carry_out(account: &Account, group: GroupId, command: GroupCommand) -> Result<(), String> {
    let changed = match command {
        GroupCommand::Add(name) => {
            let user = find(account, &name).await?;
            account.put_member(group, user, None).await.map(drop)
        }
        GroupCommand::Promote(name) => {
            let user = find(account, &name).await?;
            account.put_member(group, user, Some(Role::Admin)).await.map(drop)
        }
        GroupCommand::Remove(name) => {
            let user = find(account, &name).await?;
            account.remove_member(group, user).await
        }
        GroupCommand::Rename(name) => account.rename_group(group, &name).await.map(drop),
        GroupCommand::Leave => account.remove_member(group, account.user()).await,
    };
    changed.map_err(|error| error.to_string())
}

async fn find(account: &Account, name: &str) -> Result<UserId, String> {
    let found = account.find(name).await.map_err(|error| error.to_string())?;
    found.map(|profile| profile.id).ok_or_else(|| format!("there is nobody called {name}"))
}
