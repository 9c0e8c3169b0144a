//! What a line means.

/// Something a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Say this to the one they talk to.
    Say(String),
    /// Talk to somebody.
    To(String),
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
pub(super) const HELP: &str = "/to NAME talks to somebody, /drop gives up what waits to be sent, /quit leaves; \
     // at the start says something with a slash";

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
            ("to", who) if !who.is_empty() => Self::To(who.to_owned()),
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
            ("/drop", Command::Drop),
            ("/quit\r\n", Command::Quit),
            ("/help", Command::Help),
            ("/etc/passwd", Command::Unknown("/etc/passwd".into())),
        ] {
            assert_eq!(Command::parse(line), expected, "{line:?}");
        }
    }
}
