//! What of a message is worth waking somebody for.

use schemas::{
    Body, ChatId, UserId,
    body::{Event, Media},
    stored::StoredMessage,
};

/// Most characters of a message that are shown.
const SHOWN: usize = 160;

/// A message that its device is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worth {
    /// The chat, from the device's point of view.
    pub(super) chat: ChatId,
    /// Who wrote it.
    pub(super) from: UserId,
    /// What was written, as far as the server can read it.
    pub(super) text: Option<String>,
}

/// Reads a stored message of this user's; nothing where it is no reason to wake
/// anybody: what one wrote oneself, and most of what happens in groups.
pub(super) fn worth(owner: UserId, stored: &[u8]) -> Result<Option<Worth>, serde_json::Error> {
    let message: StoredMessage = serde_json::from_slice(stored)?;
    let StoredMessage { chat, from, body, .. } = message;
    if from == owner {
        return Ok(None);
    }
    // A kind that this version does not know was written by somebody, too.
    let text = match body.typed() {
        Ok(Body::Text { text }) => Some(text),
        Ok(Body::Media(Media { name, caption, .. })) => caption.or(Some(name)),
        Ok(Body::Event(Event::GroupCreated { .. })) => None,
        Ok(Body::Event(Event::MemberAdded { user })) if user == owner => None,
        Ok(Body::Event(_)) => return Ok(None),
        Ok(Body::Opaque { .. }) | Err(_) => None,
    };
    Ok(Some(Worth { chat, from, text: text.map(shortened) }))
}

fn shortened(mut text: String) -> String {
    if let Some((cut, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use schemas::{GroupId, Micros, body::Role};
    use serde_json::json;

    use super::*;

    fn read(owner: UserId, from: UserId, body: &serde_json::Value) -> Option<Worth> {
        let raw = serde_json::value::to_raw_value(body).unwrap();
        let stored = json!({
            "id": "a", "chat": GroupId::mint(), "from": from, "ts": Micros(1), "body": raw,
        });
        worth(owner, stored.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_others_say_is_and_what_one_says_oneself_is_not() {
        let (owner, other) = (UserId::mint(), UserId::mint());
        let said = json!({"kind": "text", "text": "hello"});
        assert_eq!(read(owner, owner, &said), None);
        assert_eq!(read(owner, other, &said).unwrap().text.as_deref(), Some("hello"));
        let long = json!({"kind": "text", "text": "ä".repeat(16_000)});
        assert_eq!(read(owner, other, &long).unwrap().text.unwrap().chars().count(), SHOWN + 1);
        for unreadable in [json!({"kind": "opaque", "data": "AAAA"}), json!({"kind": "poll"})] {
            assert_eq!(read(owner, other, &unreadable).unwrap().text, None);
        }
    }

    #[test]
    fn of_events_only_those_that_bring_somebody_into_a_group() {
        let (owner, other) = (UserId::mint(), UserId::mint());
        let event = |event: Event| {
            let body = serde_json::to_value(Body::Event(event)).unwrap();
            read(owner, other, &body).is_some()
        };
        assert!(event(Event::GroupCreated { name: "Crew".into(), members: vec![owner, other] }));
        assert!(event(Event::MemberAdded { user: owner }));
        assert!(!event(Event::MemberAdded { user: other }));
        assert!(!event(Event::GroupRenamed { name: "Crew".into() }));
        assert!(!event(Event::MemberRole { user: owner, role: Role::Admin }));
        assert!(!event(Event::MemberRemoved { user: owner }));
    }
}
