//! Who is there, since when not, and who types, as far as a chat was told. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use schemas::{
    ChatId, Millis, UserId,
    server::{Presence, PresenceState},
};

/// Typing that is not renewed ends.
const TYPING_ENDS: Duration = Duration::from_secs(6);

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Those who are watched, once something is known of them, and those who type.
#[derive(Debug, Default)]
pub(super) struct Presences {
    known: HashMap<UserId, Presence>,
    typing: HashMap<(ChatId, UserId), Instant>,
}

impl Presences {
    /// Takes in what the server says of some.
    pub(super) fn learn(&mut self, items: &[Presence]) {
        self.known.extend(items.iter().map(|item| (item.user, *item)));
    }

    /// These and nobody else are watched from now on.
    pub(super) fn watch(&mut self, users: &[UserId]) {
        self.known.retain(|user, _| users.contains(user));
    }

    /// Without a connection nothing is known.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.typing.clear();
    }

    /// Somebody types, or has stopped.
    pub(super) fn types(&mut self, now: Instant, chat: ChatId, from: UserId, on: bool) {
        if on {
            self.typing.insert((chat, from), now + TYPING_ENDS);
        } else {
            self.typing.remove(&(chat, from));
        }
    }

    /// Who types there.
    pub(super) fn typing(&self, now: Instant, chat: ChatId) -> impl Iterator<Item = UserId> {
        let there = self.typing.iter().filter(move |((there, _), _)| *there == chat);
        there.filter(move |(_, until)| **until > now).map(|((_, from), _)| *from)
    }

    /// Whether somebody is there, or when they were: "is online".
    pub(super) fn of(&self, user: UserId, now: Millis) -> Option<String> {
        let Presence { state, last_seen, .. } = self.known.get(&user)?;
        Some(match (state, last_seen) {
            (PresenceState::Online, _) => "is online".into(),
            (PresenceState::Offline, Some(at)) => format!("was last seen {}", ago(*at, now)),
            (PresenceState::Offline, None) => "is offline".into(),
        })
    }

    /// How many of these are there; nothing where that is known of none.
    pub(super) fn online(&self, users: &[UserId]) -> Option<usize> {
        let known: Vec<_> = users.iter().filter_map(|user| self.known.get(user)).collect();
        let online = known.iter().filter(|it| it.state == PresenceState::Online).count();
        (!known.is_empty()).then_some(online)
    }
}

/// How long ago that was; clocks differ, and nothing is in the future.
fn ago(at: Millis, now: Millis) -> String {
    let counted = |count: i64, what: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {what}{plural} ago")
    };
    match now.0.saturating_sub(at.0) {
        ..MINUTE => "just now".into(),
        some @ MINUTE..HOUR => counted(some / MINUTE, "minute"),
        some @ HOUR..DAY => counted(some / HOUR, "hour"),
        some => counted(some / DAY, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000 * DAY);

    fn user(n: u64) -> UserId {
        UserId::from_parts(n, 0)
    }

    fn presence(n: u64, state: PresenceState, seen_before: Option<i64>) -> Presence {
        let last_seen = seen_before.map(|before| Millis(NOW.0 - before));
        Presence { user: user(n), state, last_seen }
    }

    #[test]
    fn the_newest_counts_and_without_a_connection_nothing() {
        let mut presences = Presences::default();
        assert_eq!(presences.of(user(1), NOW), None);
        presences.learn(&[presence(1, PresenceState::Online, None)]);
        assert_eq!(presences.of(user(1), NOW), Some("is online".into()));
        presences.learn(&[presence(1, PresenceState::Offline, None)]);
        assert_eq!(presences.of(user(1), NOW), Some("is offline".into()));
        presences.watch(&[user(1)]);
        assert_eq!(presences.of(user(1), NOW), Some("is offline".into()));
        presences.watch(&[user(2)]);
        assert_eq!(presences.of(user(1), NOW), None, "it may be old when it is watched again");
        presences.learn(&[presence(2, PresenceState::Online, None)]);
        presences.forget();
        assert_eq!(presences.of(user(2), NOW), None);
    }

    #[test]
    fn typing_ends_by_itself() {
        let (now, chat) = (Instant::now(), ChatId::User(user(1)));
        let mut presences = Presences::default();
        presences.types(now, chat, user(1), true);
        let typing = |at| presences.typing(at, chat).collect::<Vec<_>>();
        assert_eq!(typing(now + TYPING_ENDS - Duration::from_millis(1)), [user(1)]);
        assert_eq!(typing(now + TYPING_ENDS), []);
    }

    #[test]
    fn last_seen_is_said_as_one_would() {
        for (before, expected) in [
            (-5_000, "just now"),
            (0, "just now"),
            (MINUTE - 1, "just now"),
            (MINUTE, "1 minute ago"),
            (HOUR - 1, "59 minutes ago"),
            (HOUR, "1 hour ago"),
            (DAY - 1, "23 hours ago"),
            (DAY, "1 day ago"),
            (400 * DAY, "400 days ago"),
        ] {
            let mut presences = Presences::default();
            presences.learn(&[presence(1, PresenceState::Offline, Some(before))]);
            let said = presences.of(user(1), NOW);
            assert_eq!(said, Some(format!("was last seen {expected}")));
        }
    }

    #[test]
    fn of_a_group_those_are_counted_who_are_there() {
        let mut presences = Presences::default();
        let group = [user(1), user(2), user(3)];
        assert_eq!(presences.online(&group), None);
        presences.learn(&[
            presence(1, PresenceState::Online, None),
            presence(2, PresenceState::Offline, Some(0)),
            presence(4, PresenceState::Online, None),
        ]);
        assert_eq!(presences.online(&group), Some(1));
    }
}
