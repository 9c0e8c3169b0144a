//! What JetStream has now.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    api::{self, ApiError, Question, Requester, ServerError},
    subject::{Shards, inbox_shard},
};

/// Over all attempts of one request: a cluster that has just started elects its
/// leaders first.
const DEADLINE: Duration = Duration::from_secs(60);
/// Making a replicated stream takes as long as electing its leader.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Pages of stream names, each of which holds a thousand or so.
const NAME_PAGES: usize = 64;

/// Reads and writes the live configuration.
pub(super) struct Live {
    requester: Requester,
}

/// What is declared, and what is there.
pub(super) struct Configs {
    pub(super) declared: Value,
    pub(super) live: Option<Value>,
}

/// A stream or a consumer.
pub(super) enum Target {
    Stream(String),
    Consumer { stream: String, name: String },
}

/// A configuration to be written.
pub(super) struct Write {
    pub(super) target: Target,
    pub(super) config: Value,
    /// Update it, rather than create it.
    pub(super) exists: bool,
}

#[derive(Deserialize)]
struct Info {
    config: Value,
}

impl Live {
    pub(super) fn new(requester: Requester) -> Self {
        Self { requester }
    }

    /// A stream's configuration, if there is such a stream.
    pub(super) async fn stream(&self, name: &str) -> Result<Option<Value>, ApiError> {
        self.config(format!("STREAM.INFO.{name}"), ServerError::NO_STREAM).await
    }

    /// A consumer's configuration, if there is such a consumer.
    pub(super) async fn consumer(
        &self,
        stream: &str,
        name: &str,
    ) -> Result<Option<Value>, ApiError> {
        let info = self.config(format!("CONSUMER.INFO.{stream}.{name}"), ServerError::NO_CONSUMER);
        match info.await {
            // Its stream is yet to be made.
            Err(error) if error.is(ServerError::NO_STREAM) => Ok(None),
            other => other,
        }
    }

    /// The streams of inbox shards that are not among these.
    pub(super) async fn inboxes_beyond(&self, shards: Shards) -> Result<Vec<String>, ApiError> {
        #[derive(Deserialize)]
        struct Names {
            total: usize,
            #[serde(default)]
            streams: Option<Vec<String>>,
        }
        let mut names = Vec::new();
        for _ in 0..NAME_PAGES {
            let request = json!({ "offset": names.len() });
            let page: Names = self.ask("STREAM.NAMES".to_owned(), Some(request)).await?;
            let streams = page.streams.unwrap_or_default();
            let last = streams.is_empty() || names.len() + streams.len() >= page.total;
            names.extend(streams);
            if last {
                break;
            }
        }
        let beyond = |name: &String| inbox_shard(name).is_some_and(|shard| shard >= shards.count());
        names.retain(beyond);
        Ok(names)
    }

    /// Creates or updates.
    pub(super) async fn write(&self, write: &Write) -> Result<(), ApiError> {
        let (subject, request) = match &write.target {
            Target::Stream(name) => {
                let verb = if write.exists { "UPDATE" } else { "CREATE" };
                (format!("STREAM.{verb}.{name}"), write.config.clone())
            }
            Target::Consumer { stream, name } => {
                let action = if write.exists { "update" } else { "create" };
                let request =
                    json!({ "stream_name": stream, "config": write.config, "action": action });
                (format!("CONSUMER.CREATE.{stream}.{name}"), request)
            }
        };
        let Info { .. } = self.ask(subject, Some(request)).await?;
        Ok(())
    }

    async fn config(&self, subject: String, absent: u16) -> Result<Option<Value>, ApiError> {
        match self.ask::<Info>(subject, None).await {
            Ok(info) => Ok(Some(info.config)),
            Err(error) if error.is(absent) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        request: Option<Value>,
    ) -> Result<T, ApiError> {
        let request = request.map_or_else(Bytes::new, |request| request.to_string().into());
        let question = || Question::new(format!("$JS.API.{subject}"), request.clone());
        self.requester.insist(question, DEADLINE, REQUEST_TIMEOUT, api::read).await
    }
}
