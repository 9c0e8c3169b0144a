//! The registry: which sessions there are, on which gateways. Gateways write
//! it, presence workers read it.
//!
//! It is kept in memory, since every gateway knows its own sessions and writes
//! them again when they are gone. Until it has, the registry says too little:
//! so each gateway also writes that all of its sessions are in.

use bytes::Bytes;
use futures_util::future::try_join_all;
use schemas::{DeviceId, GatewayId, Micros, UserId, event::SessionMark};
use serde::{Deserialize, Serialize};

use crate::{
    api::{self, Failure, Question, REQUEST_TIMEOUT},
    bucket::{Bucket, How, PutError},
    bus::Bus,
    direct::{Page, Query, READ_DEADLINE},
    subject::{SESSIONS_BUCKET, Seat},
    topology::SESSION_MARKER_AGE,
};

/// Most bytes in one page of [`Sessions::of_gateway`].
const PAGE_BYTES: usize = 256 * 1024;

/// The bucket named [`SESSIONS_BUCKET`].
///
/// Its reads fail after [`READ_DEADLINE`] where nobody answers.
#[derive(Debug, Clone)]
pub struct Sessions {
    bucket: Bucket,
}

/// A session as the registry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Which.
    pub seat: Seat,
    /// That it is there, or that it was.
    pub mark: SessionMark,
    /// The revision that says so.
    pub revision: u64,
}

impl Sessions {
    /// The bucket behind this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bucket: Bucket::new(bus, SESSIONS_BUCKET) }
    }

    /// Writes that a session is there, or that it is over, whatever was written
    /// before.
    ///
    /// # Errors
    /// After [`REQUEST_TIMEOUT`] without an answer; it may have been written.
    pub async fn write(&self, seat: &Seat, mark: &SessionMark) -> Result<(), Failure> {
        Ok(self.bucket.write_once(&seat.key(), json(mark), how(mark)).await.map(drop)?)
    }

    /// The same, if what was written before is still this revision.
    ///
    /// # Errors
    /// [`PutError::Conflict`] where it is not.
    pub async fn write_over(
        &self,
        seat: &Seat,
        mark: &SessionMark,
        revision: u64,
    ) -> Result<(), PutError> {
        let how = How { revision: Some(revision), ..how(mark) };
        Ok(self.bucket.write_once(&seat.key(), json(mark), how).await.map(drop)?)
    }

    /// A user's sessions, those among them that ended within
    /// [`SESSION_MARKER_AGE`]. From the leader: whatever was answered for before
    /// this call is in it.
    ///
    /// # Errors
    /// See [`Sessions`].
    pub async fn of_user(&self, user: UserId) -> Result<Vec<Registered>, Failure> {
        let keys = self.bucket.keys(&format!("*.{user}.*.*")).await?;
        let sessions = keys.iter().map(async |key| {
            let newest = self.bucket.newest(key).await?;
            Ok::<_, Failure>(newest.and_then(|newest| {
                let seat = Seat::parse(&self.bucket.subject(key))?;
                let mark = serde_json::from_slice(&newest.value).ok()?;
                Some(Registered { seat, mark, revision: newest.revision })
            }))
        });
        Ok(try_join_all(sessions).await?.into_iter().flatten().collect())
    }

    /// Since when a device has its newest session, if it has one, as some replica
    /// knows: one that came or went a moment ago may be missing or still be there.
    ///
    /// # Errors
    /// See [`Sessions`].
    pub async fn connected_since(
        &self,
        user: UserId,
        device: DeviceId,
    ) -> Result<Option<Micros>, Failure> {
        let filter = self.bucket.subject(&format!("*.{user}.{device}.*"));
        let query = Query {
            stream: &self.bucket.stream,
            filter: &filter,
            from: 1,
            max_items: crate::direct::PAGE_ITEMS,
            max_bytes: PAGE_BYTES,
        };
        let page = self.bucket.bus.reads.page_of_newest(query).await?;
        let started = |payload: &[u8]| match serde_json::from_slice(payload) {
            Ok(SessionMark::Started { at }) => Some(at),
            Ok(SessionMark::Ended { .. }) | Err(_) => None,
        };
        Ok(page.entries.iter().filter_map(|entry| started(&entry.payload)).max())
    }

    /// The sessions of one gateway that are there, with a revision of at least
    /// this one, and the revision to go on with unless these were all. From any
    /// replica, and in no more than one page.
    ///
    /// # Errors
    /// See [`Sessions`].
    pub async fn of_gateway(
        &self,
        gateway: GatewayId,
        from: u64,
    ) -> Result<(Vec<Registered>, Option<u64>), Failure> {
        let filter = self.bucket.subject(&format!("{gateway}.*.*.*"));
        let Page { entries, end } = self
            .bucket
            .bus
            .reads
            .page(Query {
                stream: &self.bucket.stream,
                filter: &filter,
                from,
                max_items: crate::direct::PAGE_ITEMS,
                max_bytes: PAGE_BYTES,
            })
            .await?;
        let next = entries.last().map(|last| last.seq + 1).filter(|_| !end);
        let sessions = entries.iter().filter_map(|entry| {
            let mark = serde_json::from_slice(&entry.payload).ok()?;
            let registered =
                Registered { seat: Seat::parse(entry.subject())?, mark, revision: entry.seq };
            matches!(mark, SessionMark::Started { .. }).then_some(registered)
        });
        Ok((sessions.collect(), next))
    }

    /// Writes that all of a gateway's sessions are in the registry.
    ///
    /// # Errors
    /// After [`REQUEST_TIMEOUT`] without an answer; it may have been written.
    pub async fn all_in(&self, gateway: GatewayId) -> Result<(), Failure> {
        let value = Bytes::from_static(br#"{"sessions":"all"}"#);
        Ok(self.bucket.write_once(&gateway.to_string(), value, How::default()).await.map(drop)?)
    }

    /// Takes that back, from a gateway that is gone.
    ///
    /// # Errors
    /// After [`REQUEST_TIMEOUT`] without an answer; it may have been written.
    pub async fn is_gone(&self, gateway: GatewayId) -> Result<(), Failure> {
        let how = How { life: Some(SESSION_MARKER_AGE), deletes: true, revision: None };
        Ok(self.bucket.write_once(&gateway.to_string(), "", how).await.map(drop)?)
    }

    /// Whether all of a gateway's sessions are in the registry, as it wrote.
    ///
    /// # Errors
    /// See [`Sessions`].
    pub async fn are_all_in(&self, gateway: GatewayId) -> Result<bool, Failure> {
        let newest = self.bucket.newest(&gateway.to_string()).await?;
        Ok(newest.is_some_and(|newest| !newest.value.is_empty()))
    }

    /// What is written of one session, from the leader.
    ///
    /// # Errors
    /// See [`Sessions`].
    pub async fn mark(&self, seat: &Seat) -> Result<Option<SessionMark>, Failure> {
        let newest = self.bucket.newest(&seat.key()).await?;
        Ok(newest.and_then(|newest| serde_json::from_slice(&newest.value).ok()))
    }

    /// The gateways that wrote of themselves, gone ones among them.
    ///
    /// # Errors
    /// See [`Sessions`].
    pub async fn gateways(&self) -> Result<Vec<GatewayId>, Failure> {
        let keys = self.bucket.keys("*").await?;
        Ok(keys.iter().filter_map(|key| key.parse().ok()).collect())
    }

    /// When the registry was made: another time than before means that
    /// everything in it was lost.
    ///
    /// # Errors
    /// See [`Sessions`].
    pub async fn made_at(&self) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Info {
            created: String,
        }
        let subject = format!("$JS.API.STREAM.INFO.{}", self.bucket.stream);
        let question = || Question::new(subject.clone(), "");
        let requester = &self.bucket.bus.requester;
        let info = requester.insist(question, READ_DEADLINE, REQUEST_TIMEOUT, api::read::<Info>);
        Ok(info.await?.created)
    }
}

fn how(mark: &SessionMark) -> How {
    match mark {
        SessionMark::Started { .. } => How::default(),
        SessionMark::Ended { .. } => {
            How { life: Some(SESSION_MARKER_AGE), deletes: true, revision: None }
        }
    }
}

/// The value that is stored.
pub(crate) fn json<T: Serialize>(value: &T) -> Bytes {
    #[allow(clippy::expect_used, reason = "ids, numbers and booleans are always JSON")]
    serde_json::to_vec(value).expect("a record is always JSON").into()
}
