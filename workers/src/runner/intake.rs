//! The loop: a permit first, then the next event and whatever has come with it.

use std::sync::{Arc, atomic::Ordering};

use async_nats::jetstream::consumer::PullConsumer;
use tokio::sync::OwnedSemaphorePermit;
use tracing::info;

use super::{
    Handler, Hands, Runner, Turn,
    batch::Batch,
    pull::{Pull, PullError},
};
use crate::volatile;

impl<H: Handler> Runner<H> {
    /// Pulls and handles until the end is near.
    pub(super) async fn pull(&self) -> Result<(), PullError> {
        let Some(consumer) = self.ending.near_or(self.consumer()).await else { return Ok(()) };
        let consumer = consumer?;
        let ack_wait = consumer.cached_info().config.ack_wait;
        let mut pull = Pull::open(&self.bus, &self.source, self.bounds.asking).await?;
        info!(worker = self.source.worker, ?ack_wait, "pulling");
        self.pulling.store(true, Ordering::Relaxed);
        loop {
            let Some((turn, permit)) = self.ending.near_or(self.permits()).await else { break };
            let Some(first) = self.ending.near_or(pull.next()).await else { break };
            let mut batch =
                Batch { events: vec![first?], ack_wait, longest: self.bounds.longest, permit };
            let topped_up = self.top_up(&mut batch, &mut pull);
            self.hands.take(batch, turn);
            topped_up?;
        }
        if !self.ending.abandon.is_cancelled() {
            let events = pull.give_back().await;
            info!(worker = self.source.worker, events, "given back unhandled");
        }
        Ok(())
    }

    /// The consumer, which is made again if it vanished with its server.
    async fn consumer(&self) -> Result<PullConsumer, PullError> {
        let context = &self.bus.jetstream;
        let (stream, consumer) = (&*self.source.stream, self.source.consumer);
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

    /// Adds what is here already, as far as there is room.
    fn top_up(&self, batch: &mut Batch, pull: &mut Pull) -> Result<(), PullError> {
        while batch.events.len() < self.bounds.batch {
            let Ok(room) = Arc::clone(&self.in_hand).try_acquire_owned() else { break };
            let Some(event) = pull.ready()? else { break };
            batch.events.push(event);
            match &mut batch.permit {
                Some(permit) => permit.merge(room),
                none => *none = Some(room),
            }
        }
        Ok(())
    }
}

impl<H: Handler> Hands<H> {
    /// Handles a batch, and whatever of it is to be handled alone, beside others.
    fn take(self: &Arc<Self>, batch: Batch, turn: Turn) {
        let hands = Arc::clone(self);
        self.batches.spawn(async move {
            let handled = batch.run(hands.worker, &hands.handler, &hands.bus, turn);
            let alone = tokio::select! {
                biased;
                () = hands.abandon.cancelled() => return,
                alone = handled => alone,
            };
            for batch in alone {
                hands.take(batch, Turn::alone());
            }
        });
    }
}
