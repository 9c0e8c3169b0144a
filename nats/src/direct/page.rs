//! Putting a page together out of the replies it comes in.

use async_nats::{
    HeaderMap, HeaderName, Message, StatusCode,
    header::{NATS_LAST_SEQUENCE, NATS_SEQUENCE, NATS_SUBJECT},
};
use bytes::Bytes;

use crate::api::{ApiError, ServerError};

/// The status of the reply that ends a page.
const END_OF_BATCH: u16 = 204;
const NUM_PENDING: HeaderName = HeaderName::from_static("Nats-Num-Pending");

/// A run of messages without a hole: nothing on the subject lies between two of them.
#[derive(Debug, Default)]
pub struct Page {
    /// In order of their sequence.
    pub entries: Vec<Entry>,
    /// Nothing lay beyond the page when it was read.
    pub end: bool,
}

/// A stored message.
#[derive(Debug)]
pub struct Entry {
    /// Its sequence in the stream.
    pub seq: u64,
    /// Its content: a slice of what came from the network, not a copy.
    pub payload: Bytes,
    headers: HeaderMap,
}

impl Entry {
    /// The subject it was published to.
    pub fn subject(&self) -> &str {
        self.headers.get(NATS_SUBJECT).map_or("", |subject| subject.as_str())
    }

    /// How many more messages the query would have found beyond this one.
    pub(crate) fn pending(&self) -> u64 {
        number(Some(&self.headers), NUM_PENDING).unwrap_or(0)
    }

    /// One of the headers it was published with, or of those the server added.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }
}

/// A page as far as it has come.
#[derive(Debug, Default)]
pub(super) struct PartialPage {
    entries: Vec<Entry>,
}

impl PartialPage {
    /// Takes the next reply; gives the page when that was its last.
    pub(super) fn accept(&mut self, reply: Message) -> Option<Result<Page, ApiError>> {
        let status = reply.status.map(|status| status.as_u16());
        if matches!(status, None | Some(END_OF_BATCH)) && !self.is_followed_by(&reply) {
            return Some(Err(ApiError::Incomplete));
        }
        if status == Some(END_OF_BATCH) {
            let end = number(reply.headers.as_ref(), NUM_PENDING) == Some(0);
            return Some(Ok(Page { entries: std::mem::take(&mut self.entries), end }));
        }
        match stored(reply) {
            Ok(Some(entry)) => {
                self.entries.push(entry);
                None
            }
            // Only ever the first reply: nothing on the subject from there on.
            Ok(None) => Some(Ok(Page { entries: Vec::new(), end: true })),
            Err(error) => Some(Err(error)),
        }
    }

    /// Each reply names the sequence of the one before it, so that one which
    /// was dropped on the way (a slow consumer) does not go unnoticed.
    fn is_followed_by(&self, reply: &Message) -> bool {
        let last = self.entries.last().map_or(0, |entry| entry.seq);
        number(reply.headers.as_ref(), NATS_LAST_SEQUENCE) == Some(last)
    }
}

/// The stored message in a reply; none where the server says there is none.
pub(super) fn stored(reply: Message) -> Result<Option<Entry>, ApiError> {
    match reply.status {
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        Some(StatusCode::NO_RESPONDERS) => return Err(ApiError::NoResponders),
        Some(status) => {
            return Err(ApiError::Server(ServerError {
                status: status.as_u16(),
                number: 0,
                description: reply.description.unwrap_or_default(),
            }));
        }
        None => {}
    }
    let seq = number(reply.headers.as_ref(), NATS_SEQUENCE);
    match (seq, reply.headers) {
        (Some(seq), Some(headers)) => Ok(Some(Entry { seq, payload: reply.payload, headers })),
        _ => Err(ApiError::Unreadable("a message without its sequence".into())),
    }
}

fn number(headers: Option<&HeaderMap>, name: HeaderName) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(status: Option<u16>, headers: &[(HeaderName, u64)]) -> Message {
        let headers = headers.iter().map(|(name, number)| (name.clone(), (*number).into()));
        Message {
            subject: "_INBOX.x.1".into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(headers.collect()),
            status: status.and_then(|status| StatusCode::from_u16(status).ok()),
            description: None,
            length: 0,
        }
    }

    fn message(seq: u64, last: u64) -> Message {
        reply(None, &[(NATS_SEQUENCE, seq), (NATS_LAST_SEQUENCE, last)])
    }

    fn end(pending: u64, last: u64) -> Message {
        reply(Some(END_OF_BATCH), &[(NUM_PENDING, pending), (NATS_LAST_SEQUENCE, last)])
    }

    /// The page that these replies give, once they do: its sequences, and whether
    /// it is the end.
    fn collect(
        replies: impl IntoIterator<Item = Message>,
    ) -> Option<Result<(Vec<u64>, bool), ApiError>> {
        let mut partial = PartialPage::default();
        let page = replies.into_iter().find_map(|reply| partial.accept(reply))?;
        Some(page.map(|page| (page.entries.iter().map(|entry| entry.seq).collect(), page.end)))
    }

    #[test]
    fn a_page_ends_with_its_batch() {
        let more = collect([message(3, 0), message(7, 3), end(5, 7)]);
        assert!(matches!(more, Some(Ok((seqs, false))) if seqs == [3, 7]));
        let all = collect([message(3, 0), message(7, 3), end(0, 7)]);
        assert!(matches!(all, Some(Ok((seqs, true))) if seqs == [3, 7]));
        assert!(collect([message(3, 0), message(7, 3)]).is_none());
    }

    #[test]
    fn nothing_there_is_an_empty_page_at_the_end() {
        for reply in [reply(Some(404), &[]), end(0, 0)] {
            assert!(matches!(collect([reply]), Some(Ok((seqs, true))) if seqs.is_empty()));
        }
    }

    #[test]
    fn refusals_are_told_apart_from_nobody_there() {
        for status in [408, 412, 413, 500] {
            let refused = collect([reply(Some(status), &[])]);
            assert!(
                matches!(&refused, Some(Err(ApiError::Server(error))) if error.status == status),
                "{refused:?}"
            );
        }
        let nobody = collect([reply(Some(503), &[])]);
        assert!(matches!(nobody, Some(Err(ApiError::NoResponders))));
        let odd = collect([reply(None, &[(NATS_LAST_SEQUENCE, 0)])]);
        assert!(matches!(odd, Some(Err(ApiError::Unreadable(_)))));
    }

    proptest! {
        /// Whatever replies are dropped on the way, a page that comes out is
        /// the whole page.
        #[test]
        fn a_lost_reply_never_goes_unnoticed(
            steps in prop::collection::vec(1u64..5, 1..20),
            lost in prop::collection::vec(any::<bool>(), 21),
        ) {
            let mut last = 0;
            let mut replies = Vec::new();
            for step in &steps {
                replies.push(message(last + step, last));
                last += step;
            }
            replies.push(end(0, last));
            let whole = replies.len();
            let arrived: Vec<_> = replies
                .into_iter()
                .zip(&lost)
                .filter_map(|(reply, lost)| (!lost).then_some(reply))
                .collect();
            let none_lost = arrived.len() == whole;
            match collect(arrived) {
                Some(Ok((seqs, true))) => {
                    prop_assert!(none_lost);
                    prop_assert_eq!(seqs.len(), steps.len());
                }
                Some(Err(ApiError::Incomplete)) | None => prop_assert!(!none_lost),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
