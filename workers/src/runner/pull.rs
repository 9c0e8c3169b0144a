//! Pull requests, and what comes of them.
//!
//! async-nats has streams of pulled messages, but one that is told to end goes
//! on asking for more while it is emptied: what then arrives would wait for
//! `ack_wait` before anybody else got it.

use std::{future::Future, pin::Pin, time::Duration};

use async_nats::{
    HeaderMap, Message, StatusCode, Subject, Subscriber,
    jetstream::{self, AckKind},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use nats::Bus;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{
    Source,
    demand::{Asking, Demand},
};

/// One pull request stands for so long before it is renewed.
const EXPIRES: Duration = Duration::from_secs(30);
/// The server says this often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After so long without a word it is taken for gone.
const SILENCE: Duration = Duration::from_secs(3);
/// What was pulled ahead but not handled goes to another worker after this.
const GIVEN_BACK_FOR: Duration = Duration::from_millis(500);
/// How long events that were asked for are waited for, to be given back.
const GIVING_BACK: Duration = Duration::from_millis(100);

/// Why no more can be pulled.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    /// Stream or consumer are not there, or nobody answers.
    #[error("no consumer: {0}")]
    Consumer(#[source] jetstream::stream::ConsumerError),
    /// No subscription for what is pulled.
    #[error("no subscription: {0}")]
    Subscribe(#[source] async_nats::SubscribeError),
    /// No request for more.
    #[error("nothing can be asked for: {0}")]
    Ask(#[source] async_nats::PublishError),
    /// The server ended the request.
    #[error("the server says {status}: {description}")]
    Ended {
        /// In the manner of HTTP.
        status: StatusCode,
        /// For people.
        description: String,
    },
    /// With the connection the server forgets what was asked for.
    #[error("the connection to NATS is lost")]
    Lost,
    /// Neither events nor heartbeats.
    #[error("no word for {SILENCE:?}")]
    Silent,
    /// The client is closed.
    #[error("the connection to NATS is closed")]
    Closed,
}

/// Events of one durable consumer, as they come.
pub(super) struct Pull {
    bus: Bus,
    /// Where requests go.
    next: String,
    /// Where events come.
    inbox: Subject,
    incoming: Subscriber,
    demand: Demand,
    lost: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Pull {
    /// Asks for nothing yet.
    pub(super) async fn open(
        bus: &Bus,
        source: &Source,
        asking: Asking,
    ) -> Result<Self, PullError> {
        let Source { stream, consumer, .. } = source;
        let lost = Box::pin(bus.lost());
        let inbox = Subject::from(bus.client.new_inbox());
        let incoming = bus.client.subscribe(inbox.clone()).await.map_err(PullError::Subscribe)?;
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        Ok(Self { bus: bus.clone(), next, inbox, incoming, demand: Demand::new(asking), lost })
    }

    /// Waits for the next event.
    pub(super) async fn next(&mut self) -> Result<jetstream::Message, PullError> {
        loop {
            if self.demand.is_low() {
                if let Some(until) = self.demand.rests_until() {
                    sleep_until(until).await;
                }
                self.ask().await?;
            }
            let message = tokio::select! {
                biased;
                message = timeout(SILENCE, self.incoming.next()) => message,
                () = &mut self.lost => return Err(PullError::Lost),
            };
            let message = message.map_err(|_| PullError::Silent)?.ok_or(PullError::Closed)?;
            if let Some(event) = self.take(message)? {
                return Ok(event);
            }
        }
    }

    /// The next event if it is here already.
    pub(super) fn ready(&mut self) -> Result<Option<jetstream::Message>, PullError> {
        while let Some(message) = self.incoming.next().now_or_never() {
            if let Some(event) = self.take(message.ok_or(PullError::Closed)?)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Asks for nothing more, and hands what was asked for to the other workers
    /// at once. They would get it anyway, but only when nobody has acknowledged
    /// it for `ack_wait`. Gives how many there were.
    pub(super) async fn give_back(mut self) -> usize {
        let until = Instant::now() + GIVING_BACK;
        let mut given_back = 0;
        while self.demand.outstanding() > 0
            && let Ok(Some(message)) = timeout_at(until, self.incoming.next()).await
        {
            let Ok(event) = self.take(message) else { break };
            if let Some(event) = event
                && event.ack_with(AckKind::Nak(Some(GIVEN_BACK_FOR))).await.is_ok()
            {
                given_back += 1;
            }
        }
        given_back
    }

    async fn ask(&mut self) -> Result<(), PullError> {
        // With both `expires` and `no_wait` a request waits for the first event only.
        let request = format!(
            r#"{{"batch":{},"expires":{},"idle_heartbeat":{},"no_wait":{}}}"#,
            self.demand.at_once(),
            EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos(),
            self.demand.takes_what_is_there(),
        );
        let asked = self.bus.client.publish_with_reply(
            self.next.clone(),
            self.inbox.clone(),
            Bytes::from(request),
        );
        asked.await.map_err(PullError::Ask)?;
        self.demand.asked();
        Ok(())
    }

    /// An event, or nothing but a word about a request.
    fn take(&mut self, message: Message) -> Result<Option<jetstream::Message>, PullError> {
        match message.status {
            None => {
                self.demand.came();
                let context = self.bus.jetstream.clone();
                Ok(Some(jetstream::Message { message, context }))
            }
            Some(StatusCode::IDLE_HEARTBEAT) => Ok(None),
            Some(StatusCode::TIMEOUT) => {
                self.demand.ended(unserved(message.headers.as_ref()), Instant::now());
                Ok(None)
            }
            Some(StatusCode::NOT_FOUND) if self.demand.takes_what_is_there() => {
                self.demand.ended(None, Instant::now());
                Ok(None)
            }
            Some(status) => {
                let description = message.description.unwrap_or_default();
                Err(PullError::Ended { status, description })
            }
        }
    }
}

/// How much of a request that has expired did not come.
fn unserved(headers: Option<&HeaderMap>) -> Option<usize> {
    headers?.get("Nats-Pending-Messages")?.as_str().parse().ok()
}
