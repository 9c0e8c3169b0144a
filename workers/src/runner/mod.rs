//! The one loop that every worker shares: it pulls events from a durable
//! consumer, bounds what is in hand, hands batches to a [`Handler`], and
//! acknowledges after the effect.

mod batch;
mod demand;
mod intake;
mod pull;

use std::{
    borrow::Cow,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream;
use nats::{Bus, api::stored_at};
use schemas::Millis;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

pub(crate) use self::demand::Asking;

/// First pause after pulling failed; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pulling that went well for so long starts the pauses afresh.
const GOOD_PULL: Duration = Duration::from_secs(10);

/// What a worker does with its events.
///
/// Every event comes at least once: again after a crash, after a lost
/// acknowledgement, and when handling it takes too long. So handling one twice,
/// in any order, or by two workers at once must come to the same as once.
pub(crate) trait Handler: Send + Sync + 'static {
    /// What a message is decoded to.
    type Event: Send + Sync + 'static;

    /// Reads an event. One that cannot be read is put aside under
    /// [`nats::subject::dead`] and never comes again.
    fn decode(&self, message: &jetstream::Message) -> Result<Self::Event, Undecodable>;

    /// Does what the events ask for, and says of each whether that is done. It
    /// is cut off, and all of them come again, after [`Bounds::longest`].
    fn handle(
        &self,
        events: &[Self::Event],
        turn: Turn,
    ) -> impl Future<Output = Vec<Verdict>> + Send;
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its effect is durable: it is acknowledged.
    Done,
    /// It is to come again a little later, and later each time.
    Retry,
    /// It is to come again after this.
    Later(Duration),
    /// It may take a while, and the others are not to wait for it: it is handled
    /// again at once, as a batch of its own. If it is one already, it is to come
    /// again.
    Alone,
}

/// While a batch has the turn no further one is pulled, so that whatever
/// arrives meanwhile comes together in the next. A handler gives it up early
/// where it goes on with work that may overlap.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Why a message is no event.
#[derive(Debug)]
pub(crate) struct Undecodable(String);

impl Undecodable {
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// What the server tells of an event besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// Its position in the stream.
    pub(crate) seq: u64,
    /// When it was stored, by the server's clock.
    pub(crate) stored: Millis,
    /// How often it has come, this time among them.
    pub(crate) deliveries: i64,
}

impl Delivery {
    pub(crate) fn of(message: &jetstream::Message) -> Result<Self, Undecodable> {
        let info = message.info().map_err(Undecodable::new)?;
        Ok(Self {
            seq: info.stream_sequence,
            stored: stored_at(info.published),
            deliveries: info.delivered,
        })
    }
}

/// Where events come from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Names the worker in logs and metrics.
    pub(crate) worker: &'static str,
    pub(crate) stream: Cow<'static, str>,
    pub(crate) consumer: &'static str,
}

/// How much at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Events in one batch.
    pub(crate) batch: usize,
    /// Events in hand, over all batches.
    pub(crate) in_hand: usize,
    /// When they are asked for.
    pub(crate) asking: Asking,
    /// How long a batch may be handled.
    pub(crate) longest: Duration,
}

/// How a worker ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    /// Cancelled: pull nothing more and finish what is in hand.
    pub(crate) drain: CancellationToken,
    /// Cancelled: leave everything as it is, unacknowledged.
    pub(crate) abandon: CancellationToken,
}

/// A worker's loop.
pub(crate) struct Runner<H> {
    bus: Bus,
    source: Source,
    bounds: Bounds,
    ending: Ending,
    hands: Arc<Hands<H>>,
    in_hand: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    pulling: Arc<AtomicBool>,
}

/// Where batches are handled.
struct Hands<H> {
    worker: &'static str,
    handler: H,
    bus: Bus,
    abandon: CancellationToken,
    batches: TaskTracker,
}

impl<H: Handler> Runner<H> {
    /// A runner that says in `pulling` whether it is pulling at the moment.
    pub(crate) fn new(
        bus: Bus,
        source: Source,
        bounds: Bounds,
        handler: H,
        ending: Ending,
        pulling: Arc<AtomicBool>,
    ) -> Self {
        let hands = Hands {
            worker: source.worker,
            handler,
            bus: bus.clone(),
            abandon: ending.abandon.clone(),
            batches: TaskTracker::new(),
        };
        Self {
            bus,
            source,
            bounds,
            ending,
            hands: Arc::new(hands),
            in_hand: Arc::new(Semaphore::new(bounds.in_hand)),
            turns: Arc::new(Semaphore::new(1)),
            pulling,
        }
    }

    /// Pulls until told to drain, whatever goes wrong meanwhile, and then until
    /// what is in hand is finished or abandoned.
    pub(crate) async fn run(self) {
        let worker = self.source.worker;
        let mut pause = FIRST_PAUSE;
        while !self.ending.is_near() {
            let began = tokio::time::Instant::now();
            let pulled = self.pull().await;
            self.pulling.store(false, Ordering::Relaxed);
            let Err(error) = pulled else { break };
            if began.elapsed() >= GOOD_PULL {
                pause = FIRST_PAUSE;
            }
            warn!(worker, %error, ?pause, "pulling failed and is tried again");
            self.ending.near_or(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let batches = &self.hands.batches;
        info!(worker, batches = batches.len(), "no more is pulled");
        batches.close();
        batches.wait().await;
    }
}

impl Ending {
    fn is_near(&self) -> bool {
        self.drain.is_cancelled() || self.abandon.is_cancelled()
    }

    /// What the future gives, unless the end is near.
    pub(crate) async fn near_or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.drain.cancelled() => None,
            () = self.abandon.cancelled() => None,
            output = future => Some(output),
        }
    }
}

impl Turn {
    /// A turn that holds up nobody.
    pub(crate) fn alone() -> Self {
        Self { _permit: None }
    }
}
