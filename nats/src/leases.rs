//! Which gateways live: each holds a lease in a bucket, renews it, and if it
//! dies the lease ends by itself.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::try_join_all;
use schemas::GatewayId;
use serde_json::json;

use crate::{
    api::Failure,
    bucket::{Bucket, How},
    bus::Bus,
    subject::{self, GATEWAYS_BUCKET},
    topology::LEASE_MARKER_AGE,
};

/// The bucket named [`GATEWAYS_BUCKET`].
#[derive(Debug, Clone)]
pub struct Leases {
    bucket: Bucket,
}

impl Leases {
    /// The bucket behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bucket: Bucket::new(bus, GATEWAYS_BUCKET) }
    }

    /// Takes or renews a gateway's lease: it lasts so long, in whole seconds,
    /// from when the server stored it, which was after this was called. `name`
    /// is for whoever looks into the bucket.
    ///
    /// # Errors
    /// After [`crate::api::REQUEST_TIMEOUT`] without an answer; it may have been renewed.
    pub async fn renew(
        &self,
        gateway: GatewayId,
        name: &str,
        life: Duration,
    ) -> Result<(), Failure> {
        let lease = json!({ "name": name }).to_string();
        let how = How { life: Some(life), ..How::default() };
        Ok(self.bucket.write_once(&subject::lease_key(gateway), lease, how).await.map(drop)?)
    }

    /// Ends a gateway's lease, so that nobody waits for a gateway that left.
    ///
    /// # Errors
    /// After [`crate::api::REQUEST_TIMEOUT`] without an answer; the lease ends by itself.
    pub async fn end(&self, gateway: GatewayId) -> Result<(), Failure> {
        let how = How { life: Some(LEASE_MARKER_AGE), deletes: true, revision: None };
        Ok(self.bucket.write_once(&subject::lease_key(gateway), "", how).await.map(drop)?)
    }

    /// Who holds a lease, as the bucket's leader knows: everybody whose renewal
    /// was answered and who has not ended.
    ///
    /// # Errors
    /// When there was no leader to answer within [`crate::direct::READ_DEADLINE`].
    pub async fn live(&self) -> Result<BTreeSet<GatewayId>, Failure> {
        let live = self.bucket.keys("*").await?.into_iter().map(async |key| {
            let newest = self.bucket.newest(&key).await?;
            // The marker of a lease that ended, by itself or not, is empty.
            let lives = newest.is_some_and(|newest| !newest.value.is_empty());
            Ok::<_, Failure>(key.parse().ok().filter(|_| lives))
        });
        Ok(try_join_all(live).await?.into_iter().flatten().collect())
    }
}
