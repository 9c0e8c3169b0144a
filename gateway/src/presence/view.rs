//! How much of somebody's presence a viewer may know.

use schemas::{
    UserId,
    event::PresenceRecord,
    http::LastSeen,
    server::{Presence, PresenceState},
};

use crate::roster::Entry;

/// What `viewer` is told of `user`: `entry` is what is known of the user, and
/// nothing where there is none.
pub(super) fn view(
    user: UserId,
    record: Option<&PresenceRecord>,
    entry: Option<&Entry>,
    viewer: UserId,
) -> Presence {
    let hidden = Presence { user, state: PresenceState::Offline, last_seen: None };
    let (Some(record), Some(entry)) = (record, entry) else { return hidden };
    if entry.has_blocked(viewer) {
        return hidden;
    }
    match record.state {
        PresenceState::Online => Presence { state: PresenceState::Online, ..hidden },
        PresenceState::Offline => {
            let shows = entry.settings.last_seen == LastSeen::Everyone || viewer == user;
            Presence { last_seen: record.last_seen.filter(|_| shows), ..hidden }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Millis, http::Settings};

    use super::*;

    fn entry(blocked: &[UserId], last_seen: LastSeen) -> Entry {
        Entry::for_tests(blocked, Settings { last_seen, ..Settings::default() })
    }

    fn record(state: PresenceState) -> PresenceRecord {
        let last_seen = (state == PresenceState::Offline).then_some(Millis(7));
        PresenceRecord { state, last_seen, gateway: None, leaving: false }
    }

    #[test]
    fn everybody_sees_what_is_not_hidden() {
        let (user, viewer) = (UserId::mint(), UserId::mint());
        let open = entry(&[], LastSeen::Everyone);
        let seen = |state| view(user, Some(&record(state)), Some(&open), viewer);
        assert_eq!(
            seen(PresenceState::Online),
            Presence { user, state: PresenceState::Online, last_seen: None }
        );
        assert_eq!(
            seen(PresenceState::Offline),
            Presence { user, state: PresenceState::Offline, last_seen: Some(Millis(7)) }
        );
    }

    #[test]
    fn nobody_hides_last_seen_and_nothing_else() {
        let (user, viewer) = (UserId::mint(), UserId::mint());
        let shy = entry(&[], LastSeen::Nobody);
        let seen = |state, viewer| view(user, Some(&record(state)), Some(&shy), viewer);
        assert_eq!(seen(PresenceState::Online, viewer).state, PresenceState::Online);
        assert_eq!(seen(PresenceState::Offline, viewer).last_seen, None);
        assert_eq!(seen(PresenceState::Offline, user).last_seen, Some(Millis(7)), "oneself");
    }

    #[test]
    fn the_blocked_and_who_asks_for_the_unknown_see_nobody() {
        let (user, viewer) = (UserId::mint(), UserId::mint());
        let nobody = Presence { user, state: PresenceState::Offline, last_seen: None };
        let blocks = entry(&[viewer], LastSeen::Everyone);
        for state in [PresenceState::Online, PresenceState::Offline] {
            assert_eq!(view(user, Some(&record(state)), Some(&blocks), viewer), nobody);
            assert_eq!(view(user, Some(&record(state)), None, viewer), nobody);
        }
        assert_eq!(view(user, None, Some(&entry(&[], LastSeen::Everyone)), viewer), nobody);
    }
}
