//! One batch: decoded, handled while the server is told that it is, and
//! acknowledged, or put off, or put aside.

use std::{future::Future, time::Duration};

use async_nats::jetstream::{AckKind, Message, context::PublishError};
use metrics::{counter, histogram};
use nats::{Bus, subject};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tracing::{debug, error, warn};

use super::{Handler, Turn, Undecodable, Verdict};

/// The server hears that a batch is worked on this many times per `ack_wait`.
const KEEP_ALIVES: u32 = 3;
/// After how long an event comes again: after its first delivery, its second, …
const RETRY_AFTER: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// Headers that say why an event was put aside, and where it was.
const DEAD_REASON: &str = "Petrel-Reason";
const DEAD_STREAM: &str = "Petrel-Stream";
const DEAD_SEQUENCE: &str = "Petrel-Sequence";

/// Events that are handled together.
pub(super) struct Batch {
    pub(super) events: Vec<Message>,
    pub(super) ack_wait: Duration,
    /// How long they may be handled.
    pub(super) longest: Duration,
    /// Room for these events, held until they are settled.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Batch {
    /// Handles the events and tells the server what became of each; gives those
    /// that are to be handled alone.
    pub(super) async fn run<H: Handler>(
        mut self,
        worker: &'static str,
        handler: &H,
        bus: &Bus,
        turn: Turn,
    ) -> Vec<Batch> {
        let began = Instant::now();
        let size = self.events.len();
        let alone = self.keeping_alive(worker, self.settle(worker, handler, bus, turn)).await;
        histogram!("petrel_worker_batch_events", "worker" => worker)
            .record(u32::try_from(size).unwrap_or(u32::MAX));
        histogram!("petrel_worker_batch_seconds", "worker" => worker).record(began.elapsed());
        alone.into_iter().map(|event| self.split_off(event)).collect()
    }

    /// A batch of this event alone, which takes its room with it.
    fn split_off(&mut self, event: Message) -> Self {
        let permit = self.permit.as_mut().and_then(|permit| permit.split(1));
        Self { events: vec![event], permit, ..*self }
    }

    async fn settle<H: Handler>(
        &self,
        worker: &'static str,
        handler: &H,
        bus: &Bus,
        turn: Turn,
    ) -> Vec<Message> {
        let mut readable = Vec::with_capacity(self.events.len());
        let mut events = Vec::with_capacity(self.events.len());
        let mut unreadable = Vec::new();
        for message in &self.events {
            match handler.decode(message) {
                Ok(event) => {
                    readable.push(message);
                    events.push(event);
                }
                Err(reason) => unreadable.push((message, reason)),
            }
        }
        let verdicts = if events.is_empty() {
            Vec::new()
        } else {
            timeout(self.longest, handler.handle(&events, turn)).await.unwrap_or_else(|_| {
                error!(worker, events = events.len(), "handling took too long and is tried again");
                Vec::new()
            })
        };
        // An event without a verdict is not known to be done.
        let verdicts = verdicts.into_iter().chain(std::iter::repeat(Verdict::Retry));
        let (mut done, mut retried, mut alone) = (0, 0, Vec::new());
        for (message, verdict) in readable.iter().zip(verdicts) {
            match verdict {
                Verdict::Done => {
                    done += 1;
                    acknowledge(worker, message, AckKind::Ack).await;
                }
                Verdict::Alone if self.events.len() > 1 => alone.push((*message).clone()),
                Verdict::Retry | Verdict::Alone => {
                    retried += 1;
                    put_off(worker, message).await;
                }
                Verdict::Later(pause) => {
                    acknowledge(worker, message, AckKind::Nak(Some(pause))).await;
                }
            }
        }
        counted(worker, "done", done);
        counted(worker, "retry", retried);
        for (message, reason) in &unreadable {
            put_aside(worker, bus, message, reason).await;
        }
        alone
    }

    /// Runs the future, telling the server meanwhile that the events are not
    /// forgotten.
    async fn keeping_alive<T>(&self, worker: &'static str, settled: impl Future<Output = T>) -> T {
        let every = (self.ack_wait / KEEP_ALIVES).max(Duration::from_millis(10));
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                biased;
                settled = &mut settled => return settled,
                _ = ticks.tick() => {
                    for event in &self.events {
                        acknowledge(worker, event, AckKind::Progress).await;
                    }
                }
            }
        }
    }
}

/// Tells the server. If that fails the event comes again, which is harmless.
async fn acknowledge(worker: &'static str, message: &Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        debug!(worker, %error, "an acknowledgement was not sent");
    }
}

/// Has the event come again, later each time.
async fn put_off(worker: &'static str, message: &Message) {
    let deliveries = message.info().map_or(1, |info| info.delivered);
    acknowledge(worker, message, AckKind::Nak(Some(retry_after(deliveries)))).await;
}

fn retry_after(deliveries: i64) -> Duration {
    let earlier = usize::try_from(deliveries.saturating_sub(1)).unwrap_or(0);
    RETRY_AFTER[earlier.min(RETRY_AFTER.len() - 1)]
}

/// Keeps a copy of what cannot be read for a person to look at, and only then
/// tells the server that it need not come again.
async fn put_aside(worker: &'static str, bus: &Bus, message: &Message, reason: &Undecodable) {
    let sequence = message.info().map_or(0, |info| info.stream_sequence);
    match copy_aside(bus, message, reason).await {
        Ok(()) => {
            error!(worker, subject = %message.subject, sequence, reason = %reason.0, "unreadable event put aside");
            acknowledge(worker, message, AckKind::Term).await;
            counted(worker, "dead", 1);
        }
        Err(error) => {
            warn!(worker, sequence, %error, "unreadable event cannot be put aside and comes again");
            put_off(worker, message).await;
        }
    }
}

async fn copy_aside(
    bus: &Bus,
    message: &Message,
    reason: &Undecodable,
) -> Result<(), PublishError> {
    let mut headers = message.headers.clone().unwrap_or_default();
    headers.insert(DEAD_REASON, single_line(&reason.0));
    if let Ok(info) = message.info() {
        headers.insert(DEAD_STREAM, info.stream);
        headers.insert(DEAD_SEQUENCE, info.stream_sequence.to_string());
    }
    let subject = subject::dead(&message.subject);
    bus.jetstream.publish_with_headers(subject, headers, message.payload.clone()).await?.await?;
    Ok(())
}

/// A header's value ends with its line.
fn single_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

fn counted(worker: &'static str, outcome: &'static str, events: usize) {
    if events > 0 {
        counter!("petrel_worker_events_total", "worker" => worker, "outcome" => outcome)
            .increment(events as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_again_ever_later() {
        assert_eq!(retry_after(1), Duration::from_millis(250));
        assert_eq!(retry_after(2), Duration::from_secs(1));
        assert_eq!(retry_after(6), Duration::from_secs(30));
        assert_eq!(retry_after(1_000_000), Duration::from_secs(30));
        assert_eq!(retry_after(0), Duration::from_millis(250));
    }

    #[test]
    fn a_reason_stays_in_its_header() {
        assert_eq!(single_line("a\r\nNats-Msg-Id: b"), "a  Nats-Msg-Id: b");
    }
}
