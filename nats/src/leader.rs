//! Reads that the stream's leader answers, so that nothing it has acknowledged
//! is missing. They go through the JetStream API queue and come as base64:
//! slower than [`crate::direct`], and only for what must not lag.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use schemas::Millis;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::{self, ApiError, Question, REQUEST_TIMEOUT, Requester, ServerError},
    direct::READ_DEADLINE,
};

/// Which message.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum Select<'a> {
    /// The one with this sequence.
    At { seq: u64 },
    /// The first on this subject with this sequence or a greater one.
    From { seq: u64, next_by_subj: &'a str },
    /// The newest on this subject.
    Last { last_by_subj: &'a str },
}

/// A message as the leader has it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) seq: u64,
    pub(crate) subject: String,
    pub(crate) payload: Bytes,
    /// When it was stored, by the leader's clock.
    pub(crate) stored: Millis,
}

/// Asks the leader of this stream for one message, for up to [`READ_DEADLINE`].
pub(crate) async fn read(
    requester: &Requester,
    stream: &str,
    select: Select<'_>,
) -> Result<Option<Found>, ApiError> {
    #[allow(clippy::expect_used, reason = "numbers and strings are always JSON")]
    let select = Bytes::from(serde_json::to_vec(&select).expect("a selection is always JSON"));
    let question = || Question::new(format!("$JS.API.STREAM.MSG.GET.{stream}"), select.clone());
    let answer = requester.insist(question, READ_DEADLINE, REQUEST_TIMEOUT, api::read::<Answer>);
    match answer.await {
        Ok(answer) => answer.message.decode().map(Some),
        Err(error) if error.is(ServerError::NO_MESSAGE) => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Deserialize)]
struct Answer {
    message: Raw,
}

#[derive(Deserialize)]
struct Raw {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    /// As in RFC 3339.
    time: String,
}

impl Raw {
    fn decode(self) -> Result<Found, ApiError> {
        let payload = BASE64_STANDARD.decode(self.data).map_err(unreadable)?;
        let time = OffsetDateTime::parse(&self.time, &Rfc3339).map_err(unreadable)?;
        let stored = api::stored_at(time);
        Ok(Found { seq: self.seq, subject: self.subject, payload: payload.into(), stored })
    }
}

fn unreadable(error: impl std::fmt::Display) -> ApiError {
    ApiError::Unreadable(error.to_string())
}
