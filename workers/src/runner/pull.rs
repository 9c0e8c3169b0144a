//! Pulling: a permit first, then the next event and whatever has come with it.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use async_nats::jetstream::{
    AckKind, Message,
    consumer::{PullConsumer, StreamError, pull},
};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};
use tracing::info;

use super::{Handler, Runner, Turn, batch::Batch};
use crate::volatile;

/// Events asked for ahead. They lie ready when a batch is finished; with the
/// client's own buffering at most one and a half times as many.
const PULLED_AHEAD: usize = 256;
/// One pull request stands for so long before it is renewed.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// The server says this often that it is there; twice as much silence is an error.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What was pulled ahead but not handled goes to another worker after this.
const GIVEN_BACK_FOR: Duration = Duration::from_millis(500);
/// How long a drain waits for events that are on the way, to give them back
/// too; what comes later is delivered again after the consumer's `ack_wait`.
const GIVING_BACK: Duration = Duration::from_millis(50);

/// Why a pull ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    /// Stream or consumer are not there, or nobody answers.
    #[error("no consumer: {0}")]
    Consumer(#[source] async_nats::jetstream::stream::ConsumerError),
    /// No subscription for what is pulled.
    #[error("no subscription: {0}")]
    Subscribe(#[source] StreamError),
    /// The server or the connection let go.
    #[error("{0}")]
    Pull(#[source] pull::MessagesError),
    /// The client is closed.
    #[error("the connection to NATS is closed")]
    Closed,
}

impl<H: Handler> Runner<H> {
    /// Pulls and handles until the end is near.
    pub(super) async fn pull(&self) -> Result<(), PullError> {
        let Some(consumer) = self.ending.near_or(self.consumer()).await else { return Ok(()) };
        let consumer = consumer?;
        let ack_wait = consumer.cached_info().config.ack_wait;
        let mut messages = consumer
            .stream()
            .max_messages_per_batch(PULLED_AHEAD)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(PullError::Subscribe)?;
        info!(worker = self.source.worker, ?ack_wait, "pulling");
        self.pulling.store(true, Ordering::Relaxed);
        loop {
            let Some((turn, permit)) = self.ending.near_or(self.permits()).await else { break };
            let Some(first) = self.ending.near_or(messages.next()).await else { break };
            let first = first.ok_or(PullError::Closed)?.map_err(PullError::Pull)?;
            let (events, permit, failure) = self.ready(first, permit, &mut messages);
            self.spawn(Batch { events, ack_wait, _permit: permit }, turn);
            if let Some(error) = failure {
                return Err(error);
            }
        }
        if !self.ending.abandon.is_cancelled() {
            give_back(messages).await;
        }
        Ok(())
    }

    /// The consumer, which is made again if it vanished with its server.
    async fn consumer(&self) -> Result<PullConsumer, PullError> {
        let context = &self.bus.jetstream;
        let (stream, consumer) = (self.source.stream, self.source.consumer);
        match context.get_consumer_from_stream(consumer, stream).await {
            Ok(consumer) => Ok(consumer),
            Err(_) => {
                volatile::restore(&self.bus).await;
                context
                    .get_consumer_from_stream(consumer, stream)
                    .await
                    .map_err(PullError::Consumer)
            }
        }
    }

    /// The right to pull: the turn, and room for one event.
    async fn permits(&self) -> (Turn, Option<OwnedSemaphorePermit>) {
        // Neither semaphore is ever closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let permit = Arc::clone(&self.in_hand).acquire_owned().await.ok();
        (Turn { _permit: turn }, permit)
    }

    /// The first event, and whatever is there already as far as there is room.
    fn ready(
        &self,
        first: Message,
        mut permit: Option<OwnedSemaphorePermit>,
        messages: &mut pull::Stream,
    ) -> (Vec<Message>, Option<OwnedSemaphorePermit>, Option<PullError>) {
        let mut events = vec![first];
        while events.len() < self.bounds.batch {
            let Ok(more) = Arc::clone(&self.in_hand).try_acquire_owned() else { break };
            match messages.next().now_or_never() {
                Some(Some(Ok(event))) => events.push(event),
                Some(Some(Err(error))) => return (events, permit, Some(PullError::Pull(error))),
                Some(None) => return (events, permit, Some(PullError::Closed)),
                None => break,
            }
            if let Some(permit) = &mut permit {
                permit.merge(more);
            }
        }
        (events, permit, None)
    }

    fn spawn(&self, batch: Batch, turn: Turn) {
        let (handler, bus) = (Arc::clone(&self.handler), self.bus.clone());
        let (worker, abandon) = (self.source.worker, self.ending.abandon.clone());
        self.batches.spawn(async move {
            tokio::select! {
                biased;
                () = abandon.cancelled() => {}
                () = batch.run(worker, &*handler, &bus, turn) => {}
            }
        });
    }
}

/// Hands what was pulled ahead to the other workers at once. They would get it
/// anyway, but only when nobody has acknowledged it for `ack_wait`.
async fn give_back(mut messages: pull::Stream) {
    let until = Instant::now() + GIVING_BACK;
    let mut given_back = 0;
    while let Ok(Some(Ok(event))) = timeout_at(until, messages.next()).await {
        if event.ack_with(AckKind::Nak(Some(GIVEN_BACK_FOR))).await.is_ok() {
            given_back += 1;
        }
    }
    info!(events = given_back, "given back unhandled");
}
