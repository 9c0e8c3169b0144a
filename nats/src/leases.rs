//! Which gateways live: each holds a lease in a bucket, renews it, and if it
//! dies the lease ends by itself.

use std::{collections::BTreeSet, time::Duration};

use async_nats::{HeaderMap, header::NATS_MESSAGE_TTL};
use bytes::Bytes;
use futures_util::future::try_join_all;
use schemas::GatewayId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    api::{self, ApiError, Failure, Question, REQUEST_TIMEOUT},
    bus::Bus,
    direct::READ_DEADLINE,
    leader::{self, Select},
    subject::{self, GATEWAYS_BUCKET},
    topology::LEASE_MARKER_AGE,
};

/// The bucket named [`GATEWAYS_BUCKET`].
#[derive(Debug, Clone)]
pub struct Leases {
    bus: Bus,
    stream: String,
}

impl Leases {
    /// The bucket behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bus, stream: subject::bucket_stream(GATEWAYS_BUCKET) }
    }

    /// Takes or renews a gateway's lease: it lasts so long, in whole seconds,
    /// from when the server stored it, which was after this was called. `name`
    /// is for whoever looks into the bucket.
    ///
    /// # Errors
    /// After [`REQUEST_TIMEOUT`] without an answer; it may have been renewed.
    pub async fn renew(
        &self,
        gateway: GatewayId,
        name: &str,
        life: Duration,
    ) -> Result<(), Failure> {
        let lease = json!({ "name": name }).to_string();
        Ok(self.write(gateway, HeaderMap::new(), lease, life).await?)
    }

    /// Ends a gateway's lease, so that nobody waits for a gateway that left.
    ///
    /// # Errors
    /// After [`REQUEST_TIMEOUT`] without an answer; the lease ends by itself.
    pub async fn end(&self, gateway: GatewayId) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        // What every client of such a bucket knows as a deleted key.
        headers.insert("KV-Operation", "DEL");
        Ok(self.write(gateway, headers, Bytes::new(), LEASE_MARKER_AGE).await?)
    }

    /// Who holds a lease, as the bucket's leader knows: everybody whose renewal
    /// was answered and who has not ended.
    ///
    /// # Errors
    /// When there was no leader to answer within [`READ_DEADLINE`].
    pub async fn live(&self) -> Result<BTreeSet<GatewayId>, Failure> {
        let live = self.keys().await?.into_iter().map(async |gateway| {
            let subject = bucket_subject(gateway);
            let select = Select::Last { last_by_subj: &subject };
            let newest = leader::read(&self.bus.requester, &self.stream, select).await?;
            // The marker of a lease that ended, by itself or not, is empty.
            let lives = newest.is_some_and(|newest| !newest.payload.is_empty());
            Ok::<_, ApiError>(lives.then_some(gateway))
        });
        Ok(try_join_all(live).await?.into_iter().flatten().collect())
    }

    /// Who has, or recently had, a lease.
    async fn keys(&self) -> Result<Vec<GatewayId>, ApiError> {
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
        let all = subject::bucket_subject(GATEWAYS_BUCKET, ">");
        let filter = Bytes::from(json!({ "subjects_filter": all }).to_string());
        let question = || Question::new(subject.clone(), filter.clone());
        let requester = &self.bus.requester;
        let info = requester.insist(question, READ_DEADLINE, REQUEST_TIMEOUT, api::read::<Info>);
        let subjects = info.await?.state.subjects.unwrap_or_default();
        let keys = subjects.keys().filter_map(|subject| subject.rsplit('.').next()?.parse().ok());
        Ok(keys.collect())
    }

    async fn write(
        &self,
        gateway: GatewayId,
        mut headers: HeaderMap,
        value: impl Into<Bytes>,
        life: Duration,
    ) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        struct Ack {}
        headers.insert(NATS_MESSAGE_TTL, life.as_secs().to_string());
        let subject = bucket_subject(gateway);
        let question = Question { subject, headers: Some(headers), payload: value.into() };
        let answer = self.bus.requester.once(question, REQUEST_TIMEOUT).await?;
        api::read(answer).map(|Ack {}| ())
    }
}

fn bucket_subject(gateway: GatewayId) -> String {
    subject::bucket_subject(GATEWAYS_BUCKET, &subject::lease_key(gateway))
}
