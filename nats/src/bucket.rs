//! What all buckets have in common: reads that may lag, reads that may not, and
//! writes by compare-and-set.
//!
//! async-nats has a store for each bucket, but its reads lag or queue up at the
//! API one by one, and its writes give up while a stream has no leader.

use std::time::Duration;

use async_nats::{
    HeaderMap, HeaderValue,
    header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    api::{self, ApiError, Failure, Question, REQUEST_TIMEOUT, ServerError},
    bus::Bus,
    direct::READ_DEADLINE,
    inbox::STORE_DEADLINE,
    leader::{self, Select},
    subject,
};

/// A value and the revision it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised {
    /// As it was written: JSON, in all of Petrel's buckets.
    pub value: Bytes,
    /// Rises over the whole bucket.
    pub revision: u64,
}

/// Why a value was not written, as far as is known.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The key's revision is another one: read its newest value again, merge,
    /// and put that. It may be one's own write, whose acknowledgement was lost.
    #[error("another revision was written")]
    Conflict,
    /// No acknowledgement within [`STORE_DEADLINE`]; it may still have been written.
    #[error("JetStream is unavailable")]
    Unavailable(#[source] ApiError),
    /// JetStream will not write it, now or later.
    #[error("JetStream refused the value")]
    Refused(#[source] ApiError),
}

/// One bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) bus: Bus,
    pub(crate) stream: String,
    name: &'static str,
}

/// What to write besides the value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct How {
    /// After which time the server forgets it, in whole seconds.
    pub(crate) life: Option<Duration>,
    /// Every client of the bucket takes the key for deleted.
    pub(crate) deletes: bool,
    /// Only if the key's revision is this one; 0: it is not there yet.
    pub(crate) revision: Option<u64>,
}

impl Bucket {
    pub(crate) fn new(bus: Bus, name: &'static str) -> Self {
        Self { bus, stream: subject::bucket_stream(name), name }
    }

    /// The subject of this key; a key may hold wildcards.
    pub(crate) fn subject(&self, key: &str) -> String {
        subject::bucket_subject(self.name, key)
    }

    /// A key's value, from any replica: it may lag behind the newest, which a
    /// following [`Bucket::put`] then finds out.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Revised>, Failure> {
        let entry = self.bus.reads.last(&self.stream, &self.subject(key)).await?;
        Ok(entry.map(|entry| Revised { value: entry.payload, revision: entry.seq }))
    }

    /// A key's newest value, from the leader. A key that was deleted has one, too.
    pub(crate) async fn newest(&self, key: &str) -> Result<Option<Revised>, Failure> {
        let subject = self.subject(key);
        let select = Select::Last { last_by_subj: &subject };
        let found = leader::read(&self.bus.requester, &self.stream, select).await?;
        Ok(found.map(|found| Revised { value: found.payload, revision: found.seq }))
    }

    /// The keys that match, as the leader has them; deleted ones among them for
    /// as long as the bucket remembers that.
    pub(crate) async fn keys(&self, pattern: &str) -> Result<Vec<String>, Failure> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: Option<Map<String, Value>>,
        }
        let subject = format!("$JS.API.STREAM.INFO.{}", self.stream);
        let filter = json!({ "subjects_filter": self.subject(pattern) });
        let filter = Bytes::from(filter.to_string());
        let question = || Question::new(subject.clone(), filter.clone());
        let requester = &self.bus.requester;
        let info = requester.insist(question, READ_DEADLINE, REQUEST_TIMEOUT, api::read::<Info>);
        let subjects = info.await?.state.subjects.unwrap_or_default();
        let prefix = self.subject("");
        Ok(subjects.keys().filter_map(|key| Some(key.strip_prefix(&prefix)?.to_owned())).collect())
    }

    /// Writes a value if the key's revision is still this one (0: the key is
    /// not there yet), through failovers; gives the new revision.
    pub(crate) async fn put(
        &self,
        key: &str,
        value: Bytes,
        revision: u64,
    ) -> Result<u64, PutError> {
        let how = How { revision: Some(revision), ..How::default() };
        let question = || self.question(key, value.clone(), how);
        let requester = &self.bus.requester;
        let ack = requester.insist(question, STORE_DEADLINE, REQUEST_TIMEOUT, api::read::<Ack>);
        Ok(ack.await?.seq)
    }

    /// Writes a value, or does not: the caller asks again.
    pub(crate) async fn write_once(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        how: How,
    ) -> Result<u64, ApiError> {
        let question = self.question(key, value.into(), how);
        let answer = self.bus.requester.once(question, REQUEST_TIMEOUT).await?;
        Ok(api::read::<Ack>(answer)?.seq)
    }

    fn question(&self, key: &str, payload: Bytes, how: How) -> Question {
        let mut headers = HeaderMap::new();
        if let Some(life) = how.life {
            headers.insert(NATS_MESSAGE_TTL, life.as_secs().to_string());
        }
        if how.deletes {
            headers.insert("KV-Operation", "DEL");
        }
        if let Some(revision) = how.revision {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(revision));
        }
        Question { subject: self.subject(key), headers: Some(headers), payload }
    }
}

#[derive(Deserialize)]
struct Ack {
    seq: u64,
}

/// A read that failed before anything was written.
impl From<Failure> for PutError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(error) => Self::Unavailable(error),
            Failure::Refused(error) => Self::Refused(error),
        }
    }
}

impl From<ApiError> for PutError {
    fn from(error: ApiError) -> Self {
        let is_conflict = error.is(ServerError::WRONG_LAST_SEQUENCE)
            || error.is(ServerError::WRONG_LAST_SEQUENCE_IN_FLIGHT);
        match error {
            _ if is_conflict => Self::Conflict,
            error if error.is_transient() => Self::Unavailable(error),
            error => Self::Refused(error),
        }
    }
}
