//! Who is in which group, and the making of the groups.

use std::collections::HashMap;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use schemas::http;

use crate::load::{options::Groups, people::Person, progress, target::Target};

/// Groups being made at once.
const MAKING: usize = 8;

/// All groups of a run.
#[derive(Debug)]
pub(super) struct Roll {
    groups: Vec<Group>,
    by_chat: HashMap<String, usize>,
    speakers: usize,
    quick: usize,
}

/// One group. Its first members talk, its last are slow.
#[derive(Debug)]
pub(super) struct Group {
    /// Its id.
    pub(super) chat: String,
    /// The people in it, by their number.
    pub(super) people: Vec<usize>,
    by_user: HashMap<String, usize>,
}

impl Roll {
    /// Makes the groups among these people.
    ///
    /// # Errors
    /// When one cannot be made.
    pub(super) async fn make(
        target: &Target,
        people: &[Person],
        options: &Groups,
    ) -> anyhow::Result<Self> {
        let bar = progress::bar("making", options.groups.into());
        let made: anyhow::Result<Vec<Group>> = stream::iter(plan(options).into_iter().enumerate())
            .map(|(n, members)| {
                let bar = &bar;
                async move {
                    let group = Group::make(target, n, members, people).await?;
                    bar.inc(1);
                    Ok(group)
                }
            })
            .buffered(MAKING)
            .try_collect()
            .await;
        bar.finish_and_clear();
        let groups = made.context("cannot make groups")?;
        let by_chat = groups.iter().enumerate().map(|(n, it)| (it.chat.clone(), n)).collect();
        let (speakers, quick) = (options.speakers() as usize, options.quick() as usize);
        Ok(Self { groups, by_chat, speakers, quick })
    }

    /// The groups.
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The number of the group with this id.
    pub(super) fn group(&self, chat: &str) -> Option<usize> {
        self.by_chat.get(chat).copied()
    }

    /// How many members of each group talk.
    pub(super) fn speakers(&self) -> usize {
        self.speakers
    }

    /// How many members of each group take what comes as it comes.
    pub(super) fn quick(&self) -> usize {
        self.quick
    }

    /// How many talk in all groups together, each counted as often as they do.
    pub(super) fn voices(&self) -> usize {
        self.groups.len() * self.speakers
    }

    /// Numbers the voices so that messages in their order go to all groups in turn.
    pub(super) fn voice(&self, group: usize, speaker: usize) -> usize {
        speaker * self.groups.len() + group
    }
}

impl Group {
    /// The place of a member among all.
    pub(super) fn member(&self, user: &str) -> Option<usize> {
        self.by_user.get(user).copied()
    }

    async fn make(
        target: &Target,
        n: usize,
        members: Vec<usize>,
        people: &[Person],
    ) -> anyhow::Result<Self> {
        let users: Vec<_> = members.iter().map(|member| people[*member].user).collect();
        let creator = &people[members[0]];
        let new = http::NewGroup { name: format!("load-{n}"), members: users.clone() };
        let api = target.gateway(n);
        let made = api.call(Method::POST, "v1/groups", Some(&creator.token), Some(&new));
        let group: http::Group = made.await?;
        let by_user = users.iter().enumerate().map(|(n, user)| (user.to_string(), n)).collect();
        Ok(Self { chat: group.id.to_string(), people: members, by_user })
    }
}

/// The members of each group: the quick people in turn, all slow ones after them.
fn plan(options: &Groups) -> Vec<Vec<usize>> {
    let (quick, people) = (options.quick() as usize, options.quick_people() as usize);
    let slow = people..people + options.slow as usize;
    let members = |group: usize| {
        let first = group * quick;
        (first..first + quick).map(|n| n % people).chain(slow.clone()).collect()
    };
    (0..options.groups as usize).map(members).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser as _;

    use super::*;
    use crate::load::options::{Command, Options};

    fn planned(arguments: &str) -> Vec<Vec<usize>> {
        let arguments = ["petrel-load", "groups"].into_iter().chain(arguments.split(' '));
        let options = Options::try_parse_from(arguments).unwrap();
        options.check().unwrap();
        let Command::Groups(groups) = options.command else { panic!() };
        plan(&groups)
    }

    #[test]
    fn nobody_is_in_two_groups_unless_there_are_too_few() {
        assert_eq!(planned("--groups 2 --size 3"), [[0, 1, 2], [3, 4, 5]]);
        assert_eq!(planned("--groups 3 --size 3 --people 4"), [[0, 1, 2], [3, 0, 1], [2, 3, 0]]);
    }

    #[test]
    fn who_is_slow_is_in_every_group() {
        assert_eq!(planned("--groups 2 --size 4 --slow 1"), [[0, 1, 2, 6], [3, 4, 5, 6]]);
    }
}
