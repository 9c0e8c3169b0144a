//! The presence worker: it makes "online" and "last seen" of the registry of
//! sessions (ADR 11).
//!
//! Events only say whom to look at. What is written follows from what the
//! registry holds by then, so that it does not matter how often an event comes,
//! in which order, or to which of several workers.

mod departed;
mod ledger;
mod review;
mod stores;

use std::{fmt, time::Duration};

use async_nats::jetstream;
use futures_util::{StreamExt as _, stream};
use nats::subject::Seat;
use schemas::{Millis, UserId, event::SessionMark};
use tracing::warn;

pub(crate) use self::{departed::Departures, review::review, stores::Nats};
use self::{
    ledger::Ledger,
    stores::{Bucket, Registry},
};
use crate::runner::{Delivery, Handler, Turn, Undecodable, Verdict};

/// Users looked at together.
const AT_ONCE: usize = 64;
/// A session that the worker itself ended is over for longer than any replica
/// lags, and its device is connected elsewhere by now or not at all.
const NO_GRACE: Duration = Duration::from_millis(250);
/// An event that was put off so often is due, whatever the clocks say.
const PATIENCE: i64 = 4;

/// Handles changes of the registry.
pub(crate) struct Presence<R, B> {
    ledger: Ledger<R, B>,
    grace: Duration,
}

/// What happened to a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    seat: Seat,
    mark: SessionMark,
    /// When it was stored, as the server has it.
    stored: Millis,
    deliveries: i64,
}

impl<R: Registry, B: Bucket> Presence<R, B> {
    /// For so long a user whose last session closed is not offline yet.
    pub(crate) fn new(registry: R, bucket: B, grace: Duration) -> Self {
        Self { ledger: Ledger::new(registry, bucket), grace }
    }

    async fn change(&self, change: &Change) -> Verdict {
        let user = change.seat.user;
        let changed = match change.mark {
            SessionMark::Started { .. } => self.ledger.came(&change.seat).await,
            SessionMark::Ended { heard, lingers } => {
                let grace = if lingers { self.grace } else { NO_GRACE };
                if let Some(left) = change.left_of(grace) {
                    return Verdict::Later(left);
                }
                self.ledger.left(user, heard.into()).await
            }
        };
        verdict(user, changed)
    }
}

impl<R: Registry, B: Bucket> Handler for Presence<R, B> {
    type Event = Change;

    fn decode(&self, message: &jetstream::Message) -> Result<Change, Undecodable> {
        let seat = Seat::parse(&message.subject);
        let seat = seat.ok_or_else(|| Undecodable::new("not the key of a session"))?;
        let mark = serde_json::from_slice(&message.payload).map_err(Undecodable::new)?;
        let Delivery { stored, deliveries, .. } = Delivery::of(message)?;
        Ok(Change { seat, mark, stored, deliveries })
    }

    async fn handle(&self, changes: &[Change], turn: Turn) -> Vec<Verdict> {
        // Nothing is gained by waiting for more: each user is looked at alone.
        drop(turn);
        let looks: Vec<_> = changes.iter().map(|change| self.change(change)).collect();
        stream::iter(looks).buffered(AT_ONCE).collect().await
    }
}

impl Change {
    /// What is left of this time since the change.
    fn left_of(&self, grace: Duration) -> Option<Duration> {
        let left = grace.saturating_sub(Millis::now().since(self.stored));
        (self.deliveries < PATIENCE && !left.is_zero()).then_some(left)
    }
}

fn verdict(user: UserId, outcome: Result<(), impl fmt::Display>) -> Verdict {
    match outcome {
        Ok(()) => Verdict::Done,
        Err(error) => {
            warn!(%user, %error, "presence not settled, its event comes again");
            Verdict::Retry
        }
    }
}

#[cfg(test)]
mod tests;
