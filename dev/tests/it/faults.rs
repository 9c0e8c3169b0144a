//! What people may rely on while processes and lines die: real stacks, killed
//! in traffic. No message that was confirmed is lost, none is shown twice, the
//! order is kept, the ticks arrive, and nothing is left in the inboxes.

use std::time::Duration;

use async_nats::jetstream::stream::State;
use nats::{Bus, subject};

mod gateways;
mod guest;
mod half_open;
mod line;
mod moments;
mod nats_servers;
mod party;
mod promises;
mod proxy;
mod start;
mod subscriptions;
mod tls;
mod workers;

/// Longer than anything here may take: an acknowledgement in the hands of a
/// worker that died comes again after 30 s, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often is asked what tells nobody when it changes.
const INTERVAL: Duration = Duration::from_millis(25);

/// A stream as its leader sees it.
async fn state(bus: &Bus, stream: &str) -> Option<State> {
    let mut stream = bus.jetstream.get_stream(stream).await.ok()?;
    stream.info().await.ok().map(|info| info.state.clone())
}

/// How many messages all inboxes hold; nothing while nobody can tell.
async fn undelivered(bus: &Bus) -> Option<u64> {
    let mut messages = 0;
    for shard in bus.shards.all() {
        messages += state(bus, &subject::inbox_stream(shard)).await?.messages;
    }
    Some(messages)
}

/// Waits until something holds that has to be asked for.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, asking).await;
    assert!(came.is_ok(), "not within {PATIENCE:?}: {what}");
}
