//! Raw requests to JetStream, where async-nats offers none that fits, and what
//! can come back instead of an answer.

use std::time::Duration;

use async_nats::{Client, Message, Request, RequestErrorKind};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};

/// How long one request waits for its answer. A stream without a leader does
/// not answer at all, so waiting longer is only slower than asking again.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(2_500);

/// An error that nats-server itself reports.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{description} (JetStream error {number})")]
pub struct ServerError {
    /// In the manner of HTTP.
    #[serde(rename = "code", default)]
    pub status: u16,
    /// JetStream's own number, which tells errors apart.
    #[serde(rename = "err_code", default)]
    pub number: u16,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// Why a request to JetStream got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer in time: no leader, no connection, or too much to do.
    #[error("no answer in time")]
    TimedOut,
    /// Nobody serves this subject: no such stream, or no JetStream at all.
    #[error("nobody answers there")]
    NoResponders,
    /// The answer says no.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The answer is not what this request is answered with.
    #[error("an unreadable answer: {0}")]
    Unreadable(String),
    /// Parts of the answer were lost on the way.
    #[error("an incomplete answer")]
    Incomplete,
    /// The request could not be sent: too large, or the client is closed.
    #[error("not sent")]
    NotSent(#[source] async_nats::RequestError),
}

/// Why an operation gave up.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// JetStream could not serve it in time; the same call may succeed later.
    #[error("JetStream is unavailable")]
    Unavailable(#[source] ApiError),
    /// JetStream will not do it, now or later.
    #[error("JetStream refused")]
    Refused(#[source] ApiError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        if error.is_transient() { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

impl ApiError {
    /// Whether the same request may succeed a little later: through a
    /// failover, a restart, or a moment of overload.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut | Self::NoResponders | Self::Incomplete => true,
            Self::Server(error) => error.is_transient(),
            Self::Unreadable(_) | Self::NotSent(_) => false,
        }
    }

    /// Whether it is this error of the server's.
    pub(crate) fn is(&self, number: u16) -> bool {
        matches!(self, Self::Server(error) if error.number == number)
    }
}

impl ServerError {
    /// "maximum messages per subject exceeded", among other reasons not to store.
    pub(crate) const STORE_FAILED: u16 = 10_077;
    pub(crate) const WRONG_LAST_SEQUENCE: u16 = 10_071;
    /// The same, where another write of that subject is still being replicated.
    pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u16 = 10_164;
    pub(crate) const SEQUENCE_NOT_FOUND: u16 = 10_043;
    pub(crate) const DELETE_FAILED: u16 = 10_057;
    pub(crate) const NO_MESSAGE: u16 = 10_037;
    pub(crate) const NO_STREAM: u16 = 10_059;
    pub(crate) const NO_CONSUMER: u16 = 10_014;
    const NOT_LEADER: u16 = 10_009;
    /// The first copy of this `Nats-Msg-Id` is still being replicated.
    const DUPLICATE_IN_PROCESS: u16 = 10_158;
    const STREAM_OFFLINE: [u16; 2] = [10_118, 10_194];

    fn is_transient(&self) -> bool {
        self.status == 503
            || self.number == Self::NOT_LEADER
            || self.number == Self::DUPLICATE_IN_PROCESS
            || Self::STREAM_OFFLINE.contains(&self.number)
    }
}

/// Asks and reads the answer's JSON.
pub(crate) async fn ask<T: DeserializeOwned>(
    client: &Client,
    subject: String,
    payload: Bytes,
    timeout: Duration,
) -> Result<T, ApiError> {
    let answer = send(client, subject, Request::new().payload(payload), timeout).await?;
    read(&answer.payload)
}

/// Sends a request and waits for whatever comes back.
pub(crate) async fn send(
    client: &Client,
    subject: String,
    request: Request,
    timeout: Duration,
) -> Result<Message, ApiError> {
    // The limit lies around the whole: async-nats' own starts only when the
    // request is in its queue, and without a connection that queue can be full.
    let answer = client.send_request(subject, request.timeout(None));
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(error)) => Err(match error.kind() {
            RequestErrorKind::TimedOut => ApiError::TimedOut,
            RequestErrorKind::NoResponders => ApiError::NoResponders,
            _ => ApiError::NotSent(error),
        }),
        Err(_) => Err(ApiError::TimedOut),
    }
}

/// Reads a JetStream answer: what was asked for, or the server's error.
pub(crate) fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Outcome {
        error: Option<ServerError>,
    }
    let unreadable = |error: serde_json::Error| ApiError::Unreadable(error.to_string());
    let outcome: Outcome = serde_json::from_slice(answer).map_err(unreadable)?;
    match outcome.error {
        Some(error) => Err(error.into()),
        None => serde_json::from_slice(answer).map_err(unreadable),
    }
}
