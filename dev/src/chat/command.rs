//! What a line means.

use super::group_commands::GroupCommand;

/// Something a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Say this to the one they talk to.
    Say(String),
    /// Talk to somebody.
    To(String),
    /// Talk in a group.
    ToGroup(String),
    /// Make a group.
    Group(String),
    /// Which groups are there?
    Groups,
    /// Who is in this group?
    Members,
    /// Change this group.
    Change(GroupCommand),
    /// Give up the messages that wait to be sent to the one they talk to.
    Drop,
    /// What can be done?
    Help,
    /// Enough.
    Quit,
    /// Nothing.
    Nothing,
    /// No such command.
    Unknown(String),
}

/// What `/help` says.
pub(super) const HELP: &str = "/to NAME talks to somebody, /to #NAME in a group, /group NAME makes one, \
     /groups lists yours; in one: /add NAME, /remove NAME, /promote NAME, /rename NAME, /members, \
     /leave; /drop gives up what waits to be sent, /quit ends; // at the start says something \
     with a slash";

impl Command {
    /// Understands a line.
    pub(super) fn parse(line: &str) -> Self {
        let line = line.trim_end_matches(['\r', '\n']);
        let Some(command) = line.strip_prefix('/') else {
            return if line.trim().is_empty() { Self::Nothing } else { Self::Say(line.to_owned()) };
        };
        if command.starts_with('/') {
            return Self::Say(command.to_owned());
        }
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        match (name, rest.trim()) {
            ("to", who) if who.len() > 1 && who.starts_with('#') => {
                Self::ToGroup(who[1..].trim().to_owned())
            }
            ("to", who) if !who.is_empty() => Self::To(who.to_owned()),
            ("group", name) if !name.is_empty() => Self::Group(name.to_owned()),
            ("groups", "") => Self::Groups,
            ("members", "") => Self::Members,
            ("add", who) if !who.is_empty() => Self::Change(GroupCommand::Add(who.to_owned())),
            ("remove", who) if !who.is_empty() => {
                Self::Change(GroupCommand::Remove(who.to_owned()))
            }
            ("promote", who) if !who.is_empty() => {
                Self::Change(GroupCommand::Promote(who.to_owned()))
            }
            ("rename", name) if !name.is_empty() => {
                Self::Change(GroupCommand::Rename(name.to_owned()))
            }
            ("leave", "") => Self::Change(GroupCommand::Leave),
            ("drop", "") => Self::Drop,
            ("help", _) => Self::Help,
            ("quit" | "q", "") => Self::Quit,
            _ => Self::Unknown(line.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let say = |text: &str| Command::Say(text.to_owned());
        for (line, expected) in [
            ("hello", say("hello")),
            ("  hello /to bob\n", say("  hello /to bob")),
            ("//etc", say("/etc")),
            ("   ", Command::Nothing),
            ("/to bob ", Command::To("bob".into())),
            ("/to", Command::Unknown("/to".into())),
            ("/to #late shift", Command::ToGroup("late shift".into())),
            ("/group late shift", Command::Group("late shift".into())),
            ("/groups", Command::Groups),
            ("/members", Command::Members),
            ("/add bob", Command::Change(GroupCommand::Add("bob".into()))),
            ("/remove bob", Command::Change(GroupCommand::Remove("bob".into()))),
            ("/promote bob", Command::Change(GroupCommand::Promote("bob".into()))),
            ("/rename early shift", Command::Change(GroupCommand::Rename("early shift".into()))),
            ("/leave", Command::Change(GroupCommand::Leave)),
            ("/leave now", Command::Unknown("/leave now".into())),
            ("/drop", Command::Drop),
            ("/quit\r\n", Command::Quit),
            ("/help", Command::Help),
            ("/etc/passwd", Command::Unknown("/etc/passwd".into())),
        ] {
            assert_eq!(Command::parse(line), expected, "{line:?}");
        }
    }
}
