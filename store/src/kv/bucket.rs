//! JSON documents in the directory's bucket: read, and change by compare-and-set.

use async_nats::{
    HeaderMap, HeaderValue,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{
        self, ErrorCode,
        context::{PublishError, PublishErrorKind},
        message::StreamMessage,
        stream::{LastRawMessageErrorKind, Stream},
    },
};
use bytes::Bytes;
use nats::subject::{DIRECTORY_BUCKET, bucket_stream, bucket_subject};
use serde::{Serialize, de::DeserializeOwned};

use super::patience::{Patience, Trouble};
use crate::error::DirectoryError;

/// The header by which a KV bucket tells a marker from a value.
const OPERATION: &str = "KV-Operation";
/// Its value on the marker of a deleted key.
const DELETED: &str = "DEL";

/// The bucket the topology made.
#[derive(Clone)]
pub(super) struct Bucket {
    jetstream: jetstream::Context,
    stream: Stream<()>,
}

/// What becomes of a document, and what its changer wants answered.
pub(super) enum Decision<D, T> {
    /// It stays as it is.
    Keep(T),
    /// This is to be stored.
    Store(D, T),
}

/// A key's newest state.
struct Entry {
    /// Nothing when the key was never written, or deleted.
    value: Option<Bytes>,
    /// What the next write has to name; 0 when the key was never written.
    revision: u64,
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

    /// Lets `decide` say what becomes of the newest state, and stores that. If
    /// others were faster, or no answer comes, it is asked again with what is
    /// there then, which may be what it decided before.
    pub(super) async fn change<D, T>(
        &self,
        key: &str,
        mut decide: impl FnMut(Option<D>) -> Result<Decision<D, T>, DirectoryError>,
    ) -> Result<T, DirectoryError>
    where
        D: Serialize + DeserializeOwned,
    {
        let mut patience = Patience::new();
        loop {
            let entry = self.newest(key, &mut patience).await?;
            let document = entry.value.map(|value| decode(key, &value)).transpose()?;
            let (document, answer) = match decide(document)? {
                Decision::Keep(answer) => return Ok(answer),
                Decision::Store(document, answer) => (document, answer),
            };
            let value = encode(key, &document)?;
            match self.write(key, HeaderMap::new(), value, entry.revision, &patience).await {
                Ok(()) => return Ok(answer),
                Err(trouble) => patience.pause(trouble).await?,
            }
        }
    }

    /// Deletes a document, whatever it says; a marker of a few bytes stays.
    pub(super) async fn delete(&self, key: &str) -> Result<(), DirectoryError> {
        let mut patience = Patience::new();
        loop {
            let entry = self.newest(key, &mut patience).await?;
            if entry.value.is_none() {
                return Ok(());
            }
            let mut headers = HeaderMap::new();
            headers.insert(OPERATION, DELETED);
            match self.write(key, headers, Bytes::new(), entry.revision, &patience).await {
                Ok(()) => return Ok(()),
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
        loop {
            let request = async {
                match self.stream.get_last_raw_message_by_subject(&subject).await {
                    Ok(message) => Ok(Entry::from(message)),
                    Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                        Ok(Entry { value: None, revision: 0 })
                    }
                    Err(error) => Err(error),
                }
            };
            match patience.wait(request).await {
                Ok(entry) => return Ok(entry),
                Err(source) => patience.pause(Trouble::Unanswered(source)).await?,
            }
        }
    }

    async fn write(
        &self,
        key: &str,
        mut headers: HeaderMap,
        value: Bytes,
        revision: u64,
        patience: &Patience,
    ) -> Result<(), Trouble> {
        let subject = bucket_subject(DIRECTORY_BUCKET, key);
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(revision));
        let request = async {
            let stored = match self.jetstream.publish_with_headers(subject, headers, value).await {
                Ok(ack) => ack.await,
                Err(error) => Err(error),
            };
            match stored {
                Ok(_) => Ok(Ok(())),
                Err(error) if is_contended(&error) => Ok(Err(Trouble::Contended)),
                Err(error) => Err(error),
            }
        };
        patience.wait(request).await?
    }
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
        Self { value, revision: message.sequence }
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
