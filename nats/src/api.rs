//! Raw requests to JetStream, where async-nats offers none that fits, and what
//! can come back instead of an answer.

use std::time::Duration;

use async_nats::{
    Client, ConnectOptions, Event, HeaderMap, Message, Request, RequestErrorKind, connection::State,
};
use bytes::Bytes;
use schemas::Millis;
use serde::{Deserialize, de::DeserializeOwned};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::retry::Retries;

/// How long one request waits for its answer. A stream without a leader does
/// not answer at all, so waiting longer is only slower than asking again.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(2_500);

/// When something was stored, as JetStream tells it.
pub fn stored_at(time: OffsetDateTime) -> Millis {
    Millis(time.unix_timestamp() * 1_000 + i64::from(time.millisecond()))
}

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
    /// There is no connection, or it was lost before the answer came.
    #[error("no connection")]
    NotConnected,
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
            Self::TimedOut | Self::NotConnected | Self::NoResponders | Self::Incomplete => true,
            Self::Server(error) => error.is_transient(),
            Self::Unreadable(_) | Self::NotSent(_) => false,
        }
    }

    /// Whether it is this error of the server's.
    pub(crate) fn is(&self, number: u16) -> bool {
        matches!(self, Self::Server(error) if error.number == number)
    }

    /// The subject holds as many messages as it may.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_limit() && error.description.contains("per subject"))
    }
}

impl ServerError {
    pub(crate) const WRONG_LAST_SEQUENCE: u16 = 10_071;
    /// The same, where another write of that subject is still being replicated.
    pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u16 = 10_164;
    pub(crate) const SEQUENCE_NOT_FOUND: u16 = 10_043;
    pub(crate) const DELETE_FAILED: u16 = 10_057;
    pub(crate) const NO_MESSAGE: u16 = 10_037;
    pub(crate) const NO_STREAM: u16 = 10_059;
    pub(crate) const NO_CONSUMER: u16 = 10_014;
    /// Every reason not to store has this number; only the text tells which.
    const STORE_FAILED: u16 = 10_077;
    const NOT_LEADER: u16 = 10_009;
    /// The first copy of this `Nats-Msg-Id` is still being replicated.
    const DUPLICATE_IN_PROCESS: u16 = 10_158;
    const STREAM_OFFLINE: [u16; 2] = [10_118, 10_194];
    /// No node can take a copy; only the text tells whether one is merely away.
    const NO_PEERS: u16 = 10_005;
    /// What is temporary, in the manner of HTTP.
    const UNAVAILABLE: u16 = 503;

    fn is_transient(&self) -> bool {
        // A limit comes as 503 too, but does not pass by itself.
        (self.status == Self::UNAVAILABLE && !self.is_limit())
            || self.number == Self::NOT_LEADER
            || self.number == Self::DUPLICATE_IN_PROCESS
            // The leader has not heard from that node for a few seconds, as when
            // the cluster has just started or the machines are busy.
            || (self.number == Self::NO_PEERS && self.description.contains("peer offline"))
            || Self::STREAM_OFFLINE.contains(&self.number)
    }

    /// "maximum messages per subject exceeded", "maximum bytes exceeded", …
    fn is_limit(&self) -> bool {
        self.number == Self::STORE_FAILED && self.description.starts_with("maximum ")
    }
}

/// What to ask, and whom.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

impl Question {
    pub(crate) fn new(subject: String, payload: impl Into<Bytes>) -> Self {
        Self { subject, headers: None, payload: payload.into() }
    }
}

/// Sends requests over one connection, and knows when there is none.
///
/// An answer that was under way when the connection was lost will not come;
/// waiting for it would cost a person seconds at every restart of a server. And
/// nothing is left in async-nats' queue while there is no connection: it would
/// be sent whenever there is one again, long after its caller was told that it
/// failed.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    client: Client,
    losses: watch::Receiver<u64>,
}

impl Requester {
    /// Connects with these options.
    pub(crate) async fn connect(
        options: ConnectOptions,
        servers: &[async_nats::ServerAddr],
    ) -> Result<Self, async_nats::ConnectError> {
        let (lost, losses) = watch::channel(0);
        let options = options.event_callback(move |event| {
            if event == Event::Disconnected {
                lost.send_modify(|losses| *losses += 1);
            }
            std::future::ready(())
        });
        Ok(Self { client: options.connect(servers).await?, losses })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Asks until there is an answer that asking again would not change, or the
    /// deadline has passed; then gives the last error. The question is put
    /// together anew for each attempt, as mostly there is one.
    pub(crate) async fn insist<T>(
        &self,
        question: impl Fn() -> Question,
        deadline: Duration,
        attempt: Duration,
        read: impl Fn(Message) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut retries = Retries::within(deadline);
        loop {
            let outcome = self.once(question(), retries.attempt(attempt)).await;
            match outcome.and_then(&read) {
                Err(error) if error.is_transient() && retries.pause().await => {
                    tracing::debug!(subject = question().subject, %error, "asking again");
                }
                outcome => return outcome,
            }
        }
    }

    /// Asks once.
    pub(crate) async fn once(
        &self,
        question: Question,
        timeout: Duration,
    ) -> Result<Message, ApiError> {
        let Question { subject, headers, payload } = question;
        // The limit lies around the whole: async-nats' own starts only when the
        // request is in its queue, and without a connection that can be full.
        let request = Request { payload: Some(payload), headers, timeout: Some(None), inbox: None };
        let answer = self.client.send_request(subject, request);
        self.unless_lost(timeout, async {
            answer.await.map_err(|error| match error.kind() {
                RequestErrorKind::TimedOut => ApiError::TimedOut,
                RequestErrorKind::NoResponders => ApiError::NoResponders,
                _ => ApiError::NotSent(error),
            })
        })
        .await
    }

    /// Waits for an answer as long as it can come.
    pub(crate) async fn unless_lost<T>(
        &self,
        timeout: Duration,
        answer: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let lost = self.lost();
        if self.client.connection_state() != State::Connected {
            return Err(ApiError::NotConnected);
        }
        tokio::select! {
            biased;
            answer = answer => answer,
            () = lost => Err(ApiError::NotConnected),
            () = tokio::time::sleep(timeout) => Err(ApiError::TimedOut),
        }
    }

    /// The next loss of the connection after this call.
    pub(crate) fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        async move {
            if losses.changed().await.is_err() {
                // The client is gone: nothing is left to be lost.
                std::future::pending().await
            }
        }
    }
}

/// Reads a JetStream answer: what was asked for, or the server's error.
pub(crate) fn read<T: DeserializeOwned>(answer: Message) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Outcome {
        error: Option<ServerError>,
    }
    let unreadable = |error: serde_json::Error| ApiError::Unreadable(error.to_string());
    let outcome: Outcome = serde_json::from_slice(&answer.payload).map_err(unreadable)?;
    match outcome.error {
        Some(error) => Err(error.into()),
        None => serde_json::from_slice(&answer.payload).map_err(unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, number: u16, description: &str) -> ApiError {
        ServerError { status, number, description: description.to_owned() }.into()
    }

    #[test]
    fn a_limit_is_no_reason_to_try_again_but_a_failover_is() {
        let full = error(503, 10_077, "maximum messages per subject exceeded");
        assert!(full.is_full() && !full.is_transient());
        let bytes = error(503, 10_077, "maximum bytes exceeded");
        assert!(!bytes.is_full() && !bytes.is_transient());
        let closed = error(503, 10_077, "store is closed");
        assert!(!closed.is_full() && closed.is_transient());

        assert!(error(503, 10_008, "JetStream system temporarily unavailable").is_transient());
        assert!(error(500, 10_009, "JetStream cluster can not handle request").is_transient());
        assert!(error(409, 10_158, "duplicate message id is in process").is_transient());
        let away = "no suitable peers for placement, peer offline";
        assert!(error(400, 10_005, away).is_transient());
        let never = "no suitable peers for placement, insufficient storage";
        assert!(!error(400, 10_005, never).is_transient());
        assert!(!error(404, 10_059, "stream not found").is_transient());
        assert!(!error(400, 10_071, "wrong last sequence: 5").is_transient());
        for transient in [ApiError::TimedOut, ApiError::NotConnected, ApiError::NoResponders] {
            assert!(transient.is_transient());
        }
    }
}
