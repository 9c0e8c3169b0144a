//! When it is said that one types. Pure.

use std::time::{Duration, Instant};

use schemas::ChatId;

/// How often it is said again, while one does; well before others take it for
/// over.
const AGAIN_AFTER: Duration = Duration::from_secs(3);

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Typing {
    said: Option<(ChatId, Instant)>,
}

impl Typing {
    /// The person types in this chat, or has emptied the line: what to say of it.
    pub(super) fn typed(&mut self, now: Instant, chat: ChatId, on: bool) -> Option<bool> {
        match self.said.filter(|(there, _)| *there == chat) {
            Some((_, at)) if on && now < at + AGAIN_AFTER => None,
            None if !on => None,
            _ => {
                self.said = on.then_some((chat, now));
                Some(on)
            }
        }
    }

    /// A message was sent: that is the end of typing, and need not be said.
    pub(super) fn sent(&mut self) {
        self.said = None;
    }
}

#[cfg(test)]
mod tests {
    use schemas::UserId;

    use super::*;

    #[test]
    fn it_is_said_now_and_then_and_its_end_once() {
        let chat = ChatId::User(UserId::from_parts(1, 0));
        let start = Instant::now();
        let mut typing = Typing::default();
        let mut typed = |secs, on| typing.typed(start + Duration::from_secs(secs), chat, on);
        assert_eq!(typed(0, false), None, "nothing was said that ends");
        let said = [0, 1, 2, 3, 4, 5, 6].map(|secs| typed(secs, true));
        assert_eq!(said, [Some(true), None, None, Some(true), None, None, Some(true)]);
        assert_eq!([typed(7, false), typed(7, false)], [Some(false), None]);
        assert_eq!(typed(7, true), Some(true), "after its end it is said at once");
    }

    #[test]
    fn a_message_ends_it_and_another_chat_begins_it() {
        let [one, other] = [1, 2].map(|n| ChatId::User(UserId::from_parts(n, 0)));
        let now = Instant::now();
        let mut typing = Typing::default();
        assert_eq!(typing.typed(now, one, true), Some(true));
        typing.sent();
        assert_eq!(typing.typed(now, one, false), None);
        assert_eq!(typing.typed(now, one, true), Some(true));
        assert_eq!(typing.typed(now, other, true), Some(true));
        assert_eq!(typing.typed(now, one, false), None, "it goes on elsewhere");
        assert_eq!(typing.typed(now, other, false), Some(false));
    }
}
