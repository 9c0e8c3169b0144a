//! Per-chat send order: one `send` of a chat is under way at a time, and after a
//! refusal the chat is held until the refused id comes again or is dropped
//! (PROTOCOL, promise 4).

use std::collections::{HashMap, VecDeque};

use schemas::{ChatId, ErrorCode, MessageId, Micros, client::Send};

use super::{Refusal, order};

/// Most sends of one connection that wait their turn, over all chats. Beyond
/// it the socket is not read until some have gone.
pub(crate) const WAITING_SENDS: usize = 64;

/// The sends of one connection.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: HashMap<ChatId, Lane>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Lane {
    under_way: bool,
    waiting: VecDeque<Send>,
    held: Option<Hold>,
    /// The newest `ts` this connection was given here.
    last: Option<Micros>,
}

#[derive(Debug)]
struct Hold {
    id: MessageId,
    why: Refused,
}

/// Why the send that holds a chat was refused, which its later ones are told, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub code: ErrorCode,
    pub retry_after_ms: Option<u64>,
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        Self { code: refusal.code, retry_after_ms: refusal.retry_after_ms }
    }
}

/// What becomes of a send now.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Store it, with this place in its chat.
    Store(Send, Micros),
    /// Answer with this error: the chat is held.
    Refuse(MessageId, Refused),
}

impl Lanes {
    /// Whether no more sends should be read from the socket for now.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting >= WAITING_SENDS
    }

    /// Whether anything is under way or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting == 0 && self.lanes.values().all(|lane| !lane.under_way)
    }

    /// A send arrived. Nothing is returned while it waits its turn.
    pub(crate) fn push(&mut self, send: Send, now: Micros) -> Option<Verdict> {
        let lane = self.lanes.entry(send.chat).or_default();
        if lane.under_way {
            lane.waiting.push_back(send);
            self.waiting += 1;
            return None;
        }
        Some(lane.decide(send, now))
    }

    /// The chat's send under way was stored or refused; the answers for those
    /// that waited, up to the next one under way.
    pub(crate) fn finished(
        &mut self,
        chat: ChatId,
        id: MessageId,
        refused: Option<Refused>,
        now: Micros,
    ) -> Vec<Verdict> {
        let Some(lane) = self.lanes.get_mut(&chat) else { return Vec::new() };
        lane.under_way = false;
        if let Some(why) = refused.filter(|why| why.code.holds_chat()) {
            lane.held = Some(Hold { id, why });
        }
        let mut verdicts = Vec::new();
        while !lane.under_way {
            let Some(send) = lane.waiting.pop_front() else { break };
            self.waiting -= 1;
            verdicts.push(lane.decide(send, now));
        }
        if lane.is_forgettable(now) {
            self.lanes.remove(&chat);
        }
        verdicts
    }

    /// The client gives a refused send up.
    pub(crate) fn drop_send(&mut self, id: &MessageId) {
        for lane in self.lanes.values_mut() {
            if lane.held.as_ref().is_some_and(|held| held.id == *id) {
                lane.held = None;
            }
        }
    }
}

impl Lane {
    fn decide(&mut self, send: Send, now: Micros) -> Verdict {
        match &self.held {
            Some(held) if held.id != send.id => return Verdict::Refuse(send.id, held.why),
            _ => self.held = None,
        }
        let ts = order::place(send.at, send.after, self.last, now);
        self.last = self.last.max(Some(ts));
        self.under_way = true;
        Verdict::Store(send, ts)
    }

    /// A lane whose newest `ts` lies behind the clock says nothing that the
    /// clock does not.
    fn is_forgettable(&self, now: Micros) -> bool {
        !self.under_way
            && self.waiting.is_empty()
            && self.held.is_none()
            && self.last.is_none_or(|last| last < now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use schemas::{Body, RawBody, UserId};

    use super::*;

    const NOW: Micros = Micros(1_800_000_000_000_000);

    fn send(id: &str, chat: ChatId) -> Send {
        let body = RawBody::from(&Body::Text { text: id.into() });
        Send { id: id.parse().unwrap(), chat, body, at: None, after: None }
    }

    fn chat() -> ChatId {
        ChatId::User(UserId::from_parts(1, 1))
    }

    fn id(id: &str) -> MessageId {
        id.parse().unwrap()
    }

    fn refused(code: ErrorCode) -> Refused {
        Refused { code, retry_after_ms: None }
    }

    fn stored(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Store(send, _) => send.id.as_str(),
            Verdict::Refuse(..) => panic!("refused: {verdict:?}"),
        }
    }

    #[test]
    fn one_at_a_time_per_chat() {
        let mut lanes = Lanes::default();
        let other = ChatId::User(UserId::from_parts(2, 2));
        assert!(lanes.push(send("a", chat()), NOW).is_some());
        assert!(lanes.push(send("b", chat()), NOW).is_none());
        assert!(lanes.push(send("c", other), NOW).is_some(), "another chat does not wait");
        let next = lanes.finished(chat(), id("a"), None, NOW);
        assert_eq!(next.iter().map(stored).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_refusal_holds_the_chat_until_that_id_comes_again() {
        let mut lanes = Lanes::default();
        lanes.push(send("a", chat()), NOW);
        lanes.push(send("b", chat()), NOW);
        let why = Refused { code: ErrorCode::RateLimited, retry_after_ms: Some(70) };
        assert_eq!(
            lanes.finished(chat(), id("a"), Some(why), NOW),
            [Verdict::Refuse(id("b"), why)]
        );
        assert_eq!(lanes.push(send("c", chat()), NOW), Some(Verdict::Refuse(id("c"), why)));
        assert_eq!(lanes.push(send("b", chat()), NOW), Some(Verdict::Refuse(id("b"), why)));
        assert_eq!(stored(&lanes.push(send("a", chat()), NOW).unwrap()), "a");
        lanes.finished(chat(), id("a"), None, NOW);
        assert_eq!(stored(&lanes.push(send("b", chat()), NOW).unwrap()), "b");
    }

    #[test]
    fn a_drop_lets_the_others_pass() {
        let mut lanes = Lanes::default();
        lanes.push(send("a", chat()), NOW);
        lanes.finished(chat(), id("a"), Some(refused(ErrorCode::RateLimited)), NOW);
        lanes.drop_send(&id("x"));
        assert!(matches!(lanes.push(send("b", chat()), NOW), Some(Verdict::Refuse(..))));
        lanes.drop_send(&id("a"));
        assert_eq!(stored(&lanes.push(send("b", chat()), NOW).unwrap()), "b");
    }

    #[test]
    fn other_errors_fail_only_that_send() {
        let mut lanes = Lanes::default();
        lanes.push(send("a", chat()), NOW);
        lanes.push(send("b", chat()), NOW);
        let next = lanes.finished(chat(), id("a"), Some(refused(ErrorCode::NotFound)), NOW);
        assert_eq!(next.iter().map(stored).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn without_at_the_chat_still_rises_and_the_lane_is_forgotten_later() {
        let mut lanes = Lanes::default();
        let mut last = Micros(0);
        for name in ["a", "b", "c"] {
            let Some(Verdict::Store(sent, ts)) = lanes.push(send(name, chat()), NOW) else {
                panic!()
            };
            assert!(ts > last);
            last = ts;
            lanes.finished(chat(), sent.id, None, NOW);
        }
        lanes.push(send("d", chat()), NOW);
        lanes.finished(chat(), id("d"), None, NOW.plus(std::time::Duration::from_secs(1)));
        assert!(lanes.lanes.is_empty());
    }

    proptest! {
        /// Whatever fails in between, what is stored of one chat was stored in
        /// the order in which a client that follows the protocol sent it.
        #[test]
        fn stored_order_is_sent_order(fates in proptest::collection::vec(0u8..3, 1..60), ahead in 1usize..8) {
            let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
            let mut lanes = Lanes::default();
            let mut pending: VecDeque<&str> = names.iter().map(String::as_str).collect();
            let mut fates = fates.into_iter().chain(std::iter::repeat(0));
            let mut log: Vec<String> = Vec::new();
            for _round in 0..100 {
                // The client sends its unanswered messages again, oldest first.
                let batch: Vec<&str> = pending.iter().copied().take(ahead).collect();
                let mut verdicts: VecDeque<Verdict> =
                    batch.iter().filter_map(|name| lanes.push(send(name, chat()), NOW)).collect();
                while let Some(verdict) = verdicts.pop_front() {
                    let Verdict::Store(sent, _) = verdict else { continue };
                    let fate = fates.next().unwrap();
                    let refused = (fate != 0).then_some(refused(ErrorCode::Unavailable));
                    // An unavailable store may still have stored it.
                    if fate != 1 && !log.contains(&sent.id.to_string()) {
                        log.push(sent.id.to_string());
                    }
                    if fate == 0 {
                        pending.retain(|name| *name != sent.id.as_str());
                    }
                    verdicts.extend(lanes.finished(sent.chat, sent.id, refused, NOW));
                }
            }
            prop_assert_eq!(log, names);
        }
    }
}
