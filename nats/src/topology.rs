//! The declared streams, buckets and consumers, as data.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{
    consumer::{self, AckPolicy, DeliverPolicy, ReplayPolicy},
    stream::{self, DiscardPolicy, Republish, RetentionPolicy, StorageType},
};
use schemas::limits::{DEDUPE_WINDOW, MESSAGE_AGE};

use crate::subject::{self, Shard, Shards};

/// The key in an inbox stream's metadata that says how many shards it was made
/// for. Adding streams to a running system would move users to inboxes that do
/// not hold their messages, so the number has to be known to be the same.
pub const SHARDS: &str = "petrel.shards";

/// How many messages a device's inbox holds, unless told otherwise.
pub const INBOX_MAX_MESSAGES: u32 = 100_000;

/// Receipts that may wait for a worker. Beyond it gateways' events are refused:
/// the messages stay in their inboxes and are acknowledged at the next connection.
const RECEIPTS_BYTES: i64 = 256 * 1024 * 1024;
/// Receipts batches in the hands of all workers together.
const RECEIPTS_IN_HAND: i64 = 1_024;
/// A worker that says nothing for so long has died: its batch goes to another.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Pull requests of all workers that may wait at the server.
const WAITING: i64 = 512;
/// Uploads in the hands of all workers together; those that are still awaited
/// among them: what people reserve and never send must not hold up the rest.
const MEDIA_IN_HAND: i64 = 262_144;
/// Messages of one shard in the hands of all push workers together; those that
/// wait for a device that seems to be connected, or for the next notification of
/// a device that does not come, among them: one for each of its chats. Where
/// there are as many, nobody of the shard is woken until some are settled.
const PUSH_IN_HAND: i64 = 1_000_000;
/// Changes of the registry in the hands of all workers together; those that
/// wait for a device to come back among them.
const SESSIONS_IN_HAND: i64 = 65_536;
/// Leases in the hands of all workers together.
const LEASES_IN_HAND: i64 = 256;
/// How long it is kept in the registry that a session ended, for workers that
/// are away meanwhile.
pub const SESSION_MARKER_AGE: Duration = Duration::from_secs(10 * 60);
/// Events nobody could decode are kept for a person to look at, no longer.
const DEAD_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const DEAD_BYTES: i64 = 256 * 1024 * 1024;
/// How long it is kept on record that a gateway's lease ended, for those who
/// have to do something about it.
pub(crate) const LEASE_MARKER_AGE: Duration = Duration::from_secs(10 * 60);

const UNLIMITED: i64 = -1;

/// What differs between one Petrel and another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// Fixed when the streams are made.
    pub shards: Shards,
    /// Copies of everything: 1, or 3 in a cluster.
    pub replicas: usize,
    /// Most messages in one device's inbox.
    pub inbox_max_messages: u32,
    /// Age at which an undelivered message goes by itself.
    pub message_age: Duration,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            shards: Shards::DEFAULT,
            replicas: 1,
            inbox_max_messages: INBOX_MAX_MESSAGES,
            message_age: MESSAGE_AGE,
        }
    }
}

/// A declared durable consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Of which stream.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// How it delivers.
    pub config: consumer::Config,
}

impl Topology {
    /// All streams, those behind the buckets among them.
    pub fn streams(&self) -> Vec<stream::Config> {
        let mut streams: Vec<_> = self.shards.all().map(|shard| self.inbox(shard)).collect();
        streams.push(self.receipts());
        streams.push(self.media());
        streams.push(self.bucket(subject::RECEIPTS_BUCKET, Some(subject::RECEIPTS_REPUBLISHED)));
        streams.push(self.bucket(subject::DIRECTORY_BUCKET, None));
        streams.push(self.gateways());
        streams.push(self.sessions());
        streams.push(self.presence());
        streams.push(self.push());
        streams.push(self.dead());
        streams
    }

    /// All durable consumers.
    pub fn consumers(&self) -> Vec<Consumer> {
        let receipts = consumer(subject::RECEIPTS_STREAM, subject::RECEIPTS_CONSUMER);
        let media = consumer(subject::MEDIA_STREAM, subject::MEDIA_CONSUMER);
        let sessions = consumer(subject::SESSIONS_STREAM, subject::SESSIONS_CONSUMER);
        let leases = consumer(subject::GATEWAYS_STREAM, subject::GATEWAYS_CONSUMER);
        let mut consumers = vec![
            receipts(RECEIPTS_IN_HAND, ""),
            media(MEDIA_IN_HAND, ""),
            sessions(SESSIONS_IN_HAND, subject::SESSIONS_PATTERN),
            leases(LEASES_IN_HAND, ""),
        ];
        consumers.extend(self.shards.all().map(push));
        consumers
    }

    /// One shard's inboxes. A device that does not fetch its messages fills its
    /// own inbox only, and then senders are told instead of old messages lost.
    fn inbox(&self, shard: Shard) -> stream::Config {
        stream::Config {
            subjects: vec![subject::inbox_wildcard(shard)],
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            max_messages_per_subject: self.inbox_max_messages.into(),
            max_age: self.message_age,
            duplicate_window: DEDUPE_WINDOW.min(self.message_age),
            allow_direct: true,
            republish: Some(republish(&subject::inbox_pattern(shard), subject::INBOX_REPUBLISHED)),
            metadata: HashMap::from([(SHARDS.to_owned(), self.shards.count().to_string())]),
            ..self.stream(subject::inbox_stream(shard))
        }
    }

    /// In memory: losing it only delays deletes and ticks.
    fn receipts(&self) -> stream::Config {
        stream::Config {
            subjects: vec![subject::RECEIPTS_WILDCARD.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::Memory,
            discard: DiscardPolicy::New,
            max_bytes: RECEIPTS_BYTES,
            ..self.stream(subject::RECEIPTS_STREAM.to_owned())
        }
    }

    /// On disk: nobody else remembers that an upload is to be looked at.
    fn media(&self) -> stream::Config {
        stream::Config {
            subjects: vec![subject::MEDIA_WILDCARD.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            ..self.stream(subject::MEDIA_STREAM.to_owned())
        }
    }

    /// Leases end by themselves, and the server then says so. On disk, although
    /// they live for seconds: a server that restarts must not take gateways for
    /// dead that are not.
    fn gateways(&self) -> stream::Config {
        stream::Config {
            allow_message_ttl: true,
            subject_delete_marker_ttl: Some(LEASE_MARKER_AGE),
            ..self.bucket(subject::GATEWAYS_BUCKET, None)
        }
    }

    /// In memory: a gateway that finds its sessions gone writes them again.
    fn sessions(&self) -> stream::Config {
        stream::Config {
            storage: StorageType::Memory,
            allow_message_ttl: true,
            ..self.bucket(subject::SESSIONS_BUCKET, None)
        }
    }

    /// What is noted of gateways there ends by itself.
    fn presence(&self) -> stream::Config {
        let republished = Some(subject::PRESENCE_REPUBLISHED);
        stream::Config {
            allow_message_ttl: true,
            ..self.bucket(subject::PRESENCE_BUCKET, republished)
        }
    }

    /// What it holds of a device ends by itself.
    fn push(&self) -> stream::Config {
        stream::Config { allow_message_ttl: true, ..self.bucket(subject::PUSH_BUCKET, None) }
    }

    fn dead(&self) -> stream::Config {
        stream::Config {
            subjects: vec![subject::DEAD_WILDCARD.to_owned()],
            discard: DiscardPolicy::Old,
            max_age: DEAD_AGE,
            max_bytes: DEAD_BYTES,
            ..self.stream(subject::DEAD_STREAM.to_owned())
        }
    }

    /// A key-value bucket, as every NATS client knows them, with the last value
    /// of each key.
    fn bucket(&self, bucket: &str, republished: Option<&str>) -> stream::Config {
        let all = subject::bucket_subject(bucket, ">");
        stream::Config {
            republish: republished.map(|destination| republish(&all, destination)),
            subjects: vec![all],
            discard: DiscardPolicy::New,
            max_messages_per_subject: 1,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..self.stream(subject::bucket_stream(bucket))
        }
    }

    /// What all have in common.
    fn stream(&self, name: String) -> stream::Config {
        stream::Config {
            name,
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: self.replicas,
            max_messages: UNLIMITED,
            max_bytes: UNLIMITED,
            max_messages_per_subject: UNLIMITED,
            max_consumers: -1,
            duplicate_window: DEDUPE_WINDOW,
            ..stream::Config::default()
        }
    }
}

/// A consumer that every worker of a kind pulls from: each event goes to one.
fn consumer(stream: &str, name: &str) -> impl FnOnce(i64, &str) -> Consumer {
    |in_hand, filter| {
        let config = consumer::Config {
            durable_name: Some(name.to_owned()),
            name: Some(name.to_owned()),
            deliver_policy: DeliverPolicy::All,
            replay_policy: ReplayPolicy::Instant,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            filter_subject: filter.to_owned(),
            max_ack_pending: in_hand,
            max_waiting: WAITING,
            // Until it is done: the worker itself puts aside what it cannot read.
            max_deliver: UNLIMITED,
            ..consumer::Config::default()
        };
        Consumer { stream: stream.to_owned(), name: name.to_owned(), config }
    }
}

/// The consumer of one shard's inboxes. Most messages are delivered before
/// anybody has to be woken: so it brings headers, and who has to know more reads
/// the message, and finds out on the way whether it is still there. From when it
/// is made on: where it has to be made again, nobody is told of what they were
/// told before.
fn push(shard: Shard) -> Consumer {
    let stream = subject::inbox_stream(shard);
    let Consumer { name, config, .. } = consumer(&stream, subject::PUSH_CONSUMER)(PUSH_IN_HAND, "");
    let config =
        consumer::Config { deliver_policy: DeliverPolicy::New, headers_only: true, ..config };
    Consumer { stream, name, config }
}

fn republish(source: &str, destination: &str) -> Republish {
    Republish {
        source: source.to_owned(),
        destination: destination.to_owned(),
        headers_only: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_its_inbox_stream_and_says_how_many_there_are() {
        let shards = Shards::new(3).unwrap_or(Shards::DEFAULT);
        let streams = Topology { shards, replicas: 3, ..Topology::default() }.streams();
        let inboxes: Vec<_> =
            streams.iter().filter(|stream| stream.name.starts_with("INBOX_")).collect();
        assert_eq!(inboxes.len(), 3);
        assert!(inboxes.iter().all(|stream| stream.metadata[SHARDS] == "3"));
        assert!(streams.iter().all(|stream| stream.num_replicas == 3));
    }

    #[test]
    fn names_and_subjects_are_declared_once() {
        let streams = Topology::default().streams();
        let mut names: Vec<_> = streams.iter().map(|stream| &stream.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), streams.len());
        let mut subjects: Vec<_> = streams.iter().flat_map(|stream| &stream.subjects).collect();
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), streams.len());
    }

    #[test]
    fn a_short_age_shortens_the_dedupe_window_which_may_not_exceed_it() {
        let topology = Topology { message_age: Duration::from_secs(1), ..Topology::default() };
        let inbox = topology.inbox(0);
        assert_eq!(inbox.duplicate_window, Duration::from_secs(1));
        assert_eq!(Topology::default().inbox(0).duplicate_window, DEDUPE_WINDOW);
    }
}
