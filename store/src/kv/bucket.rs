//! JSON documents in the directory's bucket: read, and change by compare-and-set.

use async_nats::{
    HeaderMap, HeaderValue,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{
        self, ErrorCode,
        context::{PublishError, PublishErrorKind},
        message::StreamMessage,
        stream::{DirectGetErrorKind, LastRawMessageErrorKind, Stream},
    },
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nats::{
    api::stored_at,
    subject::{DIRECTORY_BUCKET, bucket_stream, bucket_subject},
};
use schemas::Millis;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    documents::{Decided, Decision},
    error::{DirectoryError, Source},
    patience::{Patience, Trouble},
};

/// The header by which a KV bucket tells a marker from a value.
const OPERATION: &str = "KV-Operation";
/// Its value on the marker of a deleted key.
const DELETED: &str = "DEL";
/// How many marks of one change are written at once.
const MARKS_AT_ONCE: usize = 32;

/// The bucket the topology made.
#[derive(Clone)]
pub(super) struct Bucket {
    jetstream: jetstream::Context,
    stream: Stream<()>,
}

/// What came of a change.
pub(super) struct Settled<T> {
    /// What its decision answered.
    pub(super) answer: T,
    /// The revision of the document of which that is true.
    pub(super) revision: u64,
}

/// A key's newest state.
struct Entry {
    /// Nothing when the key was never written, or deleted.
    value: Option<Bytes>,
    /// What the next write has to name; 0 when the key was never written.
    revision: u64,
    /// When that was, by the server's clock; nothing when the key was never written.
    written: Option<Millis>,
}

impl Bucket {
    pub(super) async fn open(jetstream: &jetstream::Context) -> Result<Self, DirectoryError> {
        let name = bucket_stream(DIRECTORY_BUCKET);
        let unavailable = |error| DirectoryError::Unavailable(Box::new(error));
        // Asks the server once, so that a missing bucket is told at the start.
        jetstream.get_stream(&name).await.map_err(unavailable)?;
        let stream = jetstream.get_stream_no_info(&name).await.map_err(unavailable)?;
        Ok(Self { jetstream: jetstream.clone(), stream })
    }

    /// Reads from whichever replica answers. It may be a moment behind, so a
    /// document that is not there is asked of the leader.
    pub(super) async fn read<D: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<D>, DirectoryError> {
        let mut patience = Patience::new();
        let subject = bucket_subject(DIRECTORY_BUCKET, key);
        let answer = patience.wait(self.stream.direct_get_last_for_subject(subject)).await;
        if let Ok(message) = answer
            && let Some(value) = Entry::from(message).value
        {
            return decode(key, &value).map(Some);
        }
        self.read_leader(key, &mut patience).await
    }

    /// Reads the newest state.
    pub(super) async fn read_newest<D: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<D>, DirectoryError> {
        self.read_leader(key, &mut Patience::new()).await
    }

    /// The keys that have a value and match `pattern`, as the leader knows them.
    pub(super) async fn keys(&self, pattern: &str) -> Result<Vec<String>, DirectoryError> {
        let prefix = bucket_subject(DIRECTORY_BUCKET, "");
        let subjects = bucket_subject(DIRECTORY_BUCKET, pattern);
        let list = || async {
            let subjects = self.stream.info_with_subjects(&subjects).await?;
            subjects.map_ok(|(subject, _)| subject).try_collect::<Vec<String>>().await
        };
        let subjects = persist(&mut Patience::new(), list).await?;
        let keys = subjects.iter().filter_map(|subject| subject.strip_prefix(&prefix));
        Ok(keys.map(str::to_owned).collect())
    }

    /// When a key that matches `pattern` was written last, as the leader knows it.
    pub(super) async fn last_written(
        &self,
        pattern: &str,
    ) -> Result<Option<Millis>, DirectoryError> {
        Ok(self.newest(pattern, &mut Patience::new()).await?.written)
    }

    /// Documents under keys that match `pattern` and were not changed since
    /// before that time: those that were changed first come first, from a place
    /// in that order on, and with them the place after the last one. A replica
    /// that lags may know fewer.
    pub(super) async fn oldest<D: DeserializeOwned>(
        &self,
        pattern: &str,
        from: u64,
        before: Millis,
        limit: usize,
    ) -> Result<(Vec<D>, Option<u64>), DirectoryError> {
        let subject = bucket_subject(DIRECTORY_BUCKET, pattern);
        let mut found = Vec::new();
        let mut next = None;
        while found.len() < limit {
            let Some(message) = self.next(&subject, next.unwrap_or(from)).await? else { break };
            if stored_at(message.time) >= before {
                break;
            }
            next = Some(message.sequence + 1);
            let key = message.subject.to_string();
            if let Some(value) = Entry::from(message).value {
                match decode(&key, &value) {
                    Ok(document) => found.push(document),
                    // One of them must not hide all after it.
                    Err(error) => tracing::warn!(%key, %error, "left out of a list"),
                }
            }
        }
        Ok((found, next))
    }

    /// The first message from this revision on.
    async fn next(
        &self,
        subject: &str,
        revision: u64,
    ) -> Result<Option<StreamMessage>, DirectoryError> {
        let get = || async {
            match self.stream.direct_get_next_for_subject(subject, Some(revision.max(1))).await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        persist(&mut Patience::new(), get).await
    }

    /// Changes a document, as [`Documents`](crate::documents::Documents) tells.
    pub(super) async fn change<D, T, E>(
        &self,
        key: &str,
        decide: impl FnMut(Option<D>, Option<&T>) -> Decided<D, T, E>,
    ) -> Result<T, E>
    where
        D: Serialize + DeserializeOwned,
        E: From<DirectoryError>,
    {
        let settled = self.change_marked(key, |_| Vec::new(), decide).await?;
        Ok(settled.answer)
    }

    /// As [`change`](Self::change), and before a try stores the document, it
    /// writes the keys in `marks`, without values: always later than it read
    /// the document, so that a mark that was written before some revision
    /// belongs to no later one.
    pub(super) async fn change_marked<D, T, E>(
        &self,
        key: &str,
        marks: impl Fn(&T) -> Vec<String>,
        mut decide: impl FnMut(Option<D>, Option<&T>) -> Decided<D, T, E>,
    ) -> Result<Settled<T>, E>
    where
        D: Serialize + DeserializeOwned,
        E: From<DirectoryError>,
    {
        let mut patience = Patience::new();
        let mut in_doubt = None;
        loop {
            let Entry { value, revision, .. } = self.newest(key, &mut patience).await?;
            let document = value.map(|value| decode(key, &value)).transpose()?;
            let (document, answer) = match decide(document, in_doubt.as_ref())? {
                Decision::Keep(answer) => return Ok(Settled { answer, revision }),
                Decision::Store(document, answer) => (Some(encode(key, &document)?), answer),
                Decision::Delete(answer) => (None, answer),
            };
            if let Err(source) = patience.wait(self.mark(marks(&answer))).await {
                patience.pause(Trouble::Unanswered(source)).await?;
                continue;
            }
            match self.write(key, document, revision, &patience).await {
                Ok(revision) => return Ok(Settled { answer, revision }),
                Err(trouble) => {
                    if matches!(trouble, Trouble::Unanswered(_)) {
                        in_doubt = Some(answer);
                    }
                    patience.pause(trouble).await?;
                }
            }
        }
    }

    /// Removes a mark that was written before that revision of its document,
    /// and leaves one that was written after it. Revisions count all keys of
    /// the bucket together, and the server compares and removes at once.
    pub(super) async fn unmark(&self, key: &str, before: u64) -> Result<(), Source> {
        let subject = bucket_subject(DIRECTORY_BUCKET, key);
        let purge = self.stream.purge().filter(subject).sequence(before);
        Patience::new().wait(purge.into_future()).await.map(drop)
    }

    /// Writes a key without a value, which [`has`](Self::has) finds.
    pub(super) async fn mark_one(&self, key: String) -> Result<(), DirectoryError> {
        let mark = || self.mark(vec![key.clone()]);
        persist(&mut Patience::new(), mark).await
    }

    /// Whether a key is there, with or without a value: as far as the replica
    /// that answers knows, and where that does not know it, the leader.
    pub(super) async fn has(&self, key: &str) -> Result<bool, DirectoryError> {
        let mut patience = Patience::new();
        let subject = bucket_subject(DIRECTORY_BUCKET, key);
        let answer = patience.wait(self.stream.direct_get_last_for_subject(subject)).await;
        if let Ok(message) = answer
            && Entry::from(message).value.is_some()
        {
            return Ok(true);
        }
        Ok(self.newest(key, &mut patience).await?.value.is_some())
    }

    /// Removes the keys that match `pattern`, and leaves nothing of them.
    pub(super) async fn purge(&self, pattern: &str) -> Result<(), DirectoryError> {
        let subject = bucket_subject(DIRECTORY_BUCKET, pattern);
        let purge = || self.stream.purge().filter(subject.clone()).into_future();
        persist(&mut Patience::new(), purge).await.map(drop)
    }

    /// Deletes a document, whatever it says; a marker of a few bytes stays.
    pub(super) async fn delete(&self, key: &str) -> Result<(), DirectoryError> {
        let mut patience = Patience::new();
        loop {
            let entry = self.newest(key, &mut patience).await?;
            if entry.value.is_none() {
                return Ok(());
            }
            match self.write(key, None, entry.revision, &patience).await {
                Ok(_) => return Ok(()),
                Err(trouble) => patience.pause(trouble).await?,
            }
        }
    }

    async fn read_leader<D: DeserializeOwned>(
        &self,
        key: &str,
        patience: &mut Patience,
    ) -> Result<Option<D>, DirectoryError> {
        let entry = self.newest(key, patience).await?;
        entry.value.map(|value| decode(key, &value)).transpose()
    }

    /// The raw stream API is answered by the stream's leader alone.
    async fn newest(&self, key: &str, patience: &mut Patience) -> Result<Entry, DirectoryError> {
        let subject = bucket_subject(DIRECTORY_BUCKET, key);
        let get = || async {
            match self.stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => Ok(Entry::from(message)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                    Ok(Entry { value: None, revision: 0, written: None })
                }
                Err(error) => Err(error),
            }
        };
        persist(patience, get).await
    }

    async fn mark(&self, keys: Vec<String>) -> Result<(), PublishError> {
        let marks = stream::iter(keys).map(|key| async move {
            let subject = bucket_subject(DIRECTORY_BUCKET, &key);
            self.jetstream.publish(subject, Bytes::new()).await?.await
        });
        marks.buffer_unordered(MARKS_AT_ONCE).try_for_each(|_| async { Ok(()) }).await
    }

    /// Stores a value or the marker of a deleted key; answers its revision.
    async fn write(
        &self,
        key: &str,
        value: Option<Bytes>,
        revision: u64,
        patience: &Patience,
    ) -> Result<u64, Trouble> {
        let subject = bucket_subject(DIRECTORY_BUCKET, key);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(revision));
        if value.is_none() {
            headers.insert(OPERATION, DELETED);
        }
        let value = value.unwrap_or_default();
        let request = async {
            let stored = match self.jetstream.publish_with_headers(subject, headers, value).await {
                Ok(ack) => ack.await,
                Err(error) => Err(error),
            };
            match stored {
                Ok(ack) => Ok(Ok(ack.sequence)),
                Err(error) if is_contended(&error) => Ok(Err(Trouble::Contended)),
                Err(error) => Err(error),
            }
        };
        patience.wait(request).await?
    }
}

/// Asks until there is an answer, or patience is at its end: nothing that NATS
/// says here stays so for certain.
async fn persist<T, E, F>(patience: &mut Patience, ask: impl Fn() -> F) -> Result<T, DirectoryError>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Source>,
{
    patience.persist(ask, |source| Ok(Trouble::Unanswered(source))).await
}

/// Another revision is there, or on its way there: in a cluster the leader
/// refuses while an earlier write to the subject is still being replicated,
/// with a code of its own that async-nats has no kind for.
fn is_contended(error: &PublishError) -> bool {
    let code = || {
        let source = std::error::Error::source(error)?;
        source.downcast_ref::<jetstream::Error>().map(|error| error.error_code())
    };
    error.kind() == PublishErrorKind::WrongLastSequence
        || code() == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}

impl From<StreamMessage> for Entry {
    fn from(message: StreamMessage) -> Self {
        let is_marker = message.headers.get(OPERATION).is_some();
        let value = (!is_marker).then_some(message.payload);
        Self { value, revision: message.sequence, written: Some(stored_at(message.time)) }
    }
}

fn decode<D: DeserializeOwned>(key: &str, value: &[u8]) -> Result<D, DirectoryError> {
    serde_json::from_slice(value).map_err(|error| unreadable(key, error))
}

fn encode<D: Serialize>(key: &str, document: &D) -> Result<Bytes, DirectoryError> {
    serde_json::to_vec(document).map(Bytes::from).map_err(|error| unreadable(key, error))
}

fn unreadable(key: &str, error: serde_json::Error) -> DirectoryError {
    DirectoryError::Unreadable { key: key.to_owned(), source: Box::new(error) }
}
