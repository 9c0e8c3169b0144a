//! What a nats-server forgets when it dies.
//!
//! A cluster gives a stream that is kept in memory back to a server that
//! returns: empty, but there. A server that is alone forgets it altogether,
//! with its consumers, and acknowledgements would have no taker until somebody
//! ran `nats apply`. Its workers know what it was.

use std::time::Duration;

use async_nats::jetstream::{
    ErrorCode,
    consumer::pull,
    context::GetStreamErrorKind,
    stream::{ConsumerErrorKind, StorageType},
};
use nats::{Bus, Topology, subject, topology::Consumer};
use tokio::time::sleep;
use tracing::{info, warn};

/// While JetStream does not answer, it is asked again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Restores them as soon as a server that may have died is back, for ever. Who
/// pulls from them notices too, but while it fails it looks ever less often.
pub(crate) async fn keep(bus: &Bus) {
    loop {
        let lost = bus.lost();
        while !restore(bus).await {
            sleep(LOOK_AGAIN).await;
        }
        lost.await;
    }
}

/// Makes the declared in-memory streams and their consumers again where they
/// are missing. What exists is left as it is, and nothing is made before the
/// operator made the inboxes. Says whether it could look.
pub(crate) async fn restore(bus: &Bus) -> bool {
    let Some(topology) = topology(bus).await else { return false };
    let streams = topology.streams();
    let in_memory = || streams.iter().filter(|stream| stream.storage == StorageType::Memory);
    for stream in in_memory() {
        if stream_is_missing(bus, &stream.name).await {
            let made = bus.jetstream.create_stream(stream).await;
            report("stream", &stream.name, made.map(drop));
        }
    }
    for Consumer { stream, name, config } in topology.consumers() {
        if in_memory().any(|kept| kept.name == stream)
            && consumer_is_missing(bus, &stream, &name).await
        {
            let made = bus.jetstream.create_consumer_strict_on_stream(config, &stream).await;
            report("consumer", &name, made.map(drop));
        }
    }
    true
}

/// What was declared, as the inboxes tell: they lie on disk.
async fn topology(bus: &Bus) -> Option<Topology> {
    let inbox = bus.jetstream.get_stream(subject::inbox_stream(0)).await.ok()?;
    let replicas = inbox.cached_info().config.num_replicas;
    Some(Topology { shards: bus.shards, replicas, ..Topology::default() })
}

async fn stream_is_missing(bus: &Bus, name: &str) -> bool {
    let found = bus.jetstream.get_stream(name).await;
    found.is_err_and(|error| {
        matches!(error.kind(), GetStreamErrorKind::JetStream(error)
            if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
    })
}

async fn consumer_is_missing(bus: &Bus, stream: &str, name: &str) -> bool {
    let found = bus.jetstream.get_consumer_from_stream::<pull::Config, _, _>(name, stream).await;
    found.is_err_and(|error| {
        matches!(error.kind(), ConsumerErrorKind::JetStream(error)
            if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND)
    })
}

fn report(kind: &str, name: &str, made: Result<(), impl std::fmt::Display>) {
    match made {
        Ok(()) => info!(kind, name, "made again: it was in the memory of a server that died"),
        Err(error) => warn!(kind, name, %error, "cannot be made again"),
    }
}
