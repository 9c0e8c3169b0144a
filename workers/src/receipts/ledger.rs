//! Watermarks in their bucket: raised by compare-and-set, so that any number
//! of workers may raise the same one.

use std::{collections::HashMap, hash::Hash};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use metrics::counter;
use nats::receipts::Revised;
use schemas::{
    Micros,
    event::{ReadMarks, Watermark},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::error;

use super::{
    fold::{Claim, ReadClaim, ReadKey, ReceiptKey},
    recent::Recent,
    stores::{Bucket, Unavailable, Unwritten},
};

/// Keys that one batch raises at a time.
const KEYS_IN_FLIGHT: usize = 64;
/// Attempts at one key. Somebody else's write must win each time for all of
/// them to fail.
const ATTEMPTS: u32 = 16;
/// Values remembered of each kind, at least; at most twice as many, of about
/// 150 bytes each.
const REMEMBERED: usize = 50_000;

/// The receipts bucket, as one batch after the other raises its values.
///
/// It remembers what it wrote. That is safe although others write too: a value
/// only ever rises, so one that is not above a remembered one need not be
/// written, and one that is meets the compare-and-set.
pub(crate) struct Ledger<B> {
    bucket: B,
    receipts: Recent<ReceiptKey, Entry<Watermark>>,
    reads: Recent<ReadKey, Entry<ReadMarks>>,
}

/// A value with the revision it has in the bucket, 0 if there is none yet.
#[derive(Debug, Clone, Default)]
struct Entry<V> {
    value: V,
    revision: u64,
}

impl<B: Bucket> Ledger<B> {
    pub(crate) fn new(bucket: B) -> Self {
        Self { bucket, receipts: Recent::new(REMEMBERED), reads: Recent::new(REMEMBERED) }
    }

    /// Raises all of these, the read-sync values after the watermarks that
    /// bound them. Whatever fails, what could be raised was: calling it again
    /// with the same claims is the way on.
    pub(crate) async fn raise(
        &mut self,
        receipts: &HashMap<ReceiptKey, Claim>,
        reads: &HashMap<ReadKey, ReadClaim>,
    ) -> Result<(), Unavailable> {
        let delivered = self.raise_receipts(receipts).await?;
        self.raise_reads(reads, &delivered).await
    }

    /// Answers how far each is delivered now.
    async fn raise_receipts(
        &mut self,
        claims: &HashMap<ReceiptKey, Claim>,
    ) -> Result<HashMap<ReceiptKey, Micros>, Unavailable> {
        let bucket = &self.bucket;
        let mut raising = Vec::with_capacity(claims.len());
        for (key, claim) in claims {
            // A claim of more reading than is known to be delivered is only
            // cut down to what is really stored.
            let known = self.receipts.get(key).cloned();
            let known = known.filter(|known| claim.read <= claim.raise(known.value).delivered);
            raising.push(async move {
                let raise = |stored: &Watermark| claim.raise(*stored);
                (*key, raise_one(bucket, &key.subject(), known, raise).await)
            });
        }
        let raised = remember(&mut self.receipts, some_at_a_time(raising).await)?;
        Ok(raised.into_iter().map(|(key, entry)| (key, entry.value.delivered)).collect())
    }

    async fn raise_reads(
        &mut self,
        claims: &HashMap<ReadKey, ReadClaim>,
        delivered: &HashMap<ReceiptKey, Micros>,
    ) -> Result<(), Unavailable> {
        let bucket = &self.bucket;
        let mut raising = Vec::with_capacity(claims.len());
        for (key, claim) in claims {
            let known = self.reads.get(key).cloned();
            raising.push(async move {
                let bound = |from| delivered.get(&key.watermark(from)).copied().unwrap_or_default();
                let raise = |stored: &ReadMarks| claim.raise(stored, bound);
                (*key, raise_one(bucket, &key.subject(), known, raise).await)
            });
        }
        remember(&mut self.reads, some_at_a_time(raising).await).map(drop)
    }
}

async fn some_at_a_time<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    stream::iter(futures).buffer_unordered(KEYS_IN_FLIGHT).collect().await
}

/// Remembers what was raised and forgets what is in doubt: a write without an
/// answer may have happened.
fn remember<K: Eq + Hash + Copy, V: Value>(
    recent: &mut Recent<K, Entry<V>>,
    outcomes: Vec<(K, Result<Entry<V>, Unavailable>)>,
) -> Result<Vec<(K, Entry<V>)>, Unavailable> {
    let mut raised = Vec::with_capacity(outcomes.len());
    let mut failure = None;
    for (key, outcome) in outcomes {
        match outcome {
            Ok(entry) => {
                recent.put(key, entry.clone());
                raised.push((key, entry));
            }
            Err(error) => {
                recent.forget(&key);
                failure = Some(error);
            }
        }
    }
    failure.map_or(Ok(raised), Err)
}

/// Raises one value, writing only if that changes it.
async fn raise_one<V: Value>(
    bucket: &impl Bucket,
    key: &str,
    known: Option<Entry<V>>,
    raise: impl Fn(&V) -> V,
) -> Result<Entry<V>, Unavailable> {
    let mut stored = match known {
        Some(entry) => entry,
        None => decode(key, bucket.get(key).await?),
    };
    for _ in 0..ATTEMPTS {
        let value = raise(&stored.value);
        if value == stored.value {
            counter!("petrel_receipts_unchanged_total").increment(1);
            return Ok(stored);
        }
        match bucket.put(key, encode(&value), stored.revision).await {
            Ok(revision) => {
                counter!("petrel_receipts_written_total").increment(1);
                return Ok(Entry { value, revision });
            }
            Err(Unwritten::Unavailable(error)) => return Err(error),
            Err(Unwritten::Conflict) => {
                counter!("petrel_receipts_conflicts_total").increment(1);
                stored = decode(key, bucket.get_newest(key).await?);
            }
        }
    }
    Err(Unavailable::new(format!("{key} was written by others {ATTEMPTS} times in a row")))
}

/// What the bucket holds.
trait Value: Serialize + DeserializeOwned + Default + PartialEq + Clone + Send + Sync {}

impl Value for Watermark {}
impl Value for ReadMarks {}

fn decode<V: Value>(key: &str, found: Option<Revised>) -> Entry<V> {
    let Some(Revised { value: text, revision }) = found else { return Entry::default() };
    let value = serde_json::from_slice(&text).unwrap_or_else(|error| {
        // Only workers write there. To insist on an unreadable value would
        // hold up its messages for good; afresh, its ticks turn once more.
        error!(key, %error, "a value of the receipts bucket is unreadable and starts afresh");
        V::default()
    });
    Entry { value, revision }
}

fn encode(value: &impl Value) -> Bytes {
    #[allow(clippy::expect_used, reason = "plain numbers under string keys")]
    serde_json::to_vec(value).expect("watermarks are always JSON").into()
}
