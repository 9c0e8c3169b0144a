//! The connection to NATS.

use std::time::Duration;

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions,
    jetstream::{self, context::ContextBuilder, stream},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    api::{self, ApiError, Question, REQUEST_TIMEOUT, Requester, ServerError},
    direct::DirectReader,
    options::{Credentials, NatsOptions},
    retry::Retries,
    subject::Shards,
    topology::{self, Topology},
};

/// How long [`Bus::connect`] tries to get a first connection.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// How long [`Bus::ready`] waits for the streams.
pub const READY_DEADLINE: Duration = Duration::from_secs(60);

/// How long one server may take to accept a connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// A dead connection is noticed after two to three of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Longest pause between two attempts to reconnect, which never end.
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(2);
/// Requests and publishes that wait for the connection; more wait at the caller.
const SEND_QUEUE: usize = 8_192;
/// Publishes through [`Bus::jetstream`] that wait for their acknowledgement.
const ACKS_IN_FLIGHT: usize = 16_384;

/// A handle on the NATS cluster; clones share its connections.
#[derive(Debug, Clone)]
pub struct Bus {
    /// The connection for everything but reads of stored messages.
    pub client: Client,
    /// JetStream over [`Bus::client`]; requests end after [`REQUEST_TIMEOUT`].
    pub jetstream: jetstream::Context,
    /// How the inboxes are spread.
    pub shards: Shards,
    /// What this was connected with.
    pub options: NatsOptions,
    /// Reads of stored messages, on their own connection.
    pub reads: DirectReader,
    pub(crate) requester: Requester,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The options are wrong, whatever the server says.
    #[error("bad NATS options: {0}")]
    Options(String),
    /// The server knows no such user, password or token.
    #[error("NATS refused the credentials of --nats")]
    Refused(#[source] async_nats::ConnectError),
    /// No server could be reached within [`CONNECT_DEADLINE`].
    #[error("no NATS server could be reached within {CONNECT_DEADLINE:?}")]
    Unreachable(#[source] async_nats::ConnectError),
    /// The connection was lost again at once.
    #[error("the connection to NATS was lost")]
    Lost(#[source] async_nats::SubscribeError),
}

/// Why the streams cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Some are missing, still after [`READY_DEADLINE`].
    #[error("{0} is missing: `nats apply` makes it")]
    Missing(String),
    /// They were made for another number of shards, which would put users'
    /// messages where nobody looks for them.
    #[error(
        "{stream} was made for {found} shards, not {declared}: set --shards to what it was made for"
    )]
    Shards {
        /// The stream that says so.
        stream: String,
        /// Its number of shards.
        found: String,
        /// The number given.
        declared: u32,
    },
    /// Nobody answered for [`READY_DEADLINE`].
    #[error("JetStream did not answer for {READY_DEADLINE:?}")]
    Unavailable(#[source] ApiError),
    /// JetStream will not tell.
    #[error("JetStream refused to describe its streams")]
    Refused(#[source] ApiError),
}

impl Bus {
    /// Connects, trying for up to [`CONNECT_DEADLINE`]. Afterwards a lost
    /// connection comes back by itself, to any server of the cluster.
    ///
    /// `name` is what NATS' own monitoring shows for it.
    ///
    /// # Errors
    /// When the options or the credentials are wrong, or no server was reached.
    pub async fn connect(options: &NatsOptions, name: &str) -> Result<Self, ConnectError> {
        let shards = Shards::new(options.shards).ok_or_else(|| {
            ConnectError::Options(format!("{} shards, not 1 to {}", options.shards, Shards::MAX))
        })?;
        let requester = connect(options, name).await?;
        let reads = connect(options, &format!("{name} reads")).await?;
        let client = requester.client().clone();
        let jetstream = ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .ack_timeout(REQUEST_TIMEOUT)
            .max_ack_inflight(ACKS_IN_FLIGHT)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let reads = DirectReader::new(reads).await.map_err(ConnectError::Lost)?;
        Ok(Self { client, jetstream, shards, options: options.clone(), reads, requester })
    }

    /// Waits up to [`READY_DEADLINE`] for the declared streams and consumers.
    ///
    /// # Errors
    /// When something is missing for so long, and at once when the streams
    /// were made for another number of shards.
    pub async fn ready(&self) -> Result<(), NotReady> {
        let declared = Topology { shards: self.shards, ..Topology::default() };
        let mut retries = Retries::within(READY_DEADLINE);
        let mut told = String::new();
        loop {
            let error = match self.check(&declared).await {
                Ok(()) => return Ok(()),
                Err(error @ (NotReady::Shards { .. } | NotReady::Refused(_))) => return Err(error),
                Err(error) => error,
            };
            if told != error.to_string() {
                told = error.to_string();
                tracing::info!(%error, "waiting for the streams");
            }
            if !retries.pause().await {
                return Err(error);
            }
        }
    }

    /// Resolves when the connection is lost, after this call: what the server
    /// kept in memory may have gone with it.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        self.requester.lost()
    }

    async fn check(&self, declared: &Topology) -> Result<(), NotReady> {
        for stream in declared.streams() {
            let live = self.stream_config(&stream.name).await?;
            let live = live.ok_or(NotReady::Missing(format!("stream {}", stream.name)))?;
            let made_for = |config: &stream::Config| config.metadata.get(topology::SHARDS).cloned();
            if made_for(&live) != made_for(&stream) {
                return Err(NotReady::Shards {
                    stream: stream.name,
                    found: made_for(&live).unwrap_or_else(|| "unknown".to_owned()),
                    declared: self.shards.count(),
                });
            }
        }
        for consumer in declared.consumers() {
            let name = &consumer.name;
            match self.ask(format!("$JS.API.CONSUMER.INFO.{}.{name}", consumer.stream)).await {
                Ok(Anything {}) => {}
                Err(error) if error.is(ServerError::NO_CONSUMER) => {
                    return Err(NotReady::Missing(format!(
                        "consumer {name} of {}",
                        consumer.stream
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn stream_config(&self, name: &str) -> Result<Option<stream::Config>, ApiError> {
        #[derive(Deserialize)]
        struct Info {
            config: stream::Config,
        }
        match self.ask::<Info>(format!("$JS.API.STREAM.INFO.{name}")).await {
            Ok(info) => Ok(Some(info.config)),
            Err(error) if error.is(ServerError::NO_STREAM) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, subject: String) -> Result<T, ApiError> {
        let answer = self.requester.once(Question::new(subject, ""), REQUEST_TIMEOUT).await?;
        api::read(answer)
    }
}

#[derive(Deserialize)]
struct Anything {}

impl From<ApiError> for NotReady {
    fn from(error: ApiError) -> Self {
        if error.is_transient() { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

async fn connect(options: &NatsOptions, name: &str) -> Result<Requester, ConnectError> {
    let servers = options.servers().map_err(|error| ConnectError::Options(error.to_string()))?;
    let mut retries = Retries::within(CONNECT_DEADLINE);
    tracing::debug!(name, ?options, "connecting to NATS");
    loop {
        match Requester::connect(connect_options(options, name), &servers).await {
            Ok(requester) => return Ok(requester),
            Err(error) if is_refused(&error) => return Err(ConnectError::Refused(error)),
            Err(error) => {
                tracing::debug!(name, %error, "connecting again");
                if !retries.pause().await {
                    return Err(ConnectError::Unreachable(error));
                }
            }
        }
    }
}

fn connect_options(options: &NatsOptions, name: &str) -> ConnectOptions {
    let connect = ConnectOptions::new()
        .name(name)
        .connection_timeout(HANDSHAKE_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(PING_INTERVAL)
        .client_capacity(SEND_QUEUE)
        .max_reconnects(None)
        .reconnect_delay_callback(reconnect_pause);
    match options.credentials() {
        Some(Credentials::User { name, password }) => connect.user_and_password(name, password),
        Some(Credentials::Token(token)) => connect.token(token),
        None => connect,
    }
}

/// The first attempt comes at once: mostly another node is there. After that
/// the pause grows, with jitter, because every gateway lost its connection too.
fn reconnect_pause(attempt: usize) -> Duration {
    if attempt <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempt - 2).unwrap_or(u32::MAX).min(10);
    let pause = Duration::from_millis(10) * 2u32.pow(doublings);
    pause.min(LONGEST_RECONNECT_PAUSE).mul_f64(rand::random_range(0.5..=1.0))
}

fn is_refused(error: &async_nats::ConnectError) -> bool {
    matches!(
        error.kind(),
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication
    )
}
