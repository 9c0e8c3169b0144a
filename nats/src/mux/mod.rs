//! One connection, very many subscriptions.
//!
//! A gateway holds a subscription for every connected device, and one for every
//! user who is watched. async-nats
//! gives each a channel of its own, whose first block alone takes about 6 KiB;
//! here a subscription is a table entry, and its messages go straight into the
//! session's mailbox (ADR 0001). Everything that is published still goes
//! through async-nats.
//!
//! Core NATS may lose messages: on a lost connection, or when a mailbox is full.
//! Neither is hidden: the sink is told of the gap and reads from the store.

mod connection;
mod link;
mod wire;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::wire::Delivery;
use crate::options::NatsOptions;

/// How long [`Mux::flush`] waits, reconnects included.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a subscription's messages go. Called by the connection's own task: it
/// must neither block nor take long.
pub trait Sink: Clone + Send + Sync + 'static {
    /// A message arrived.
    fn deliver(&self, delivery: Delivery<'_>);
    /// Messages may have been lost before now.
    fn gap(&self);
}

/// The subscriptions did not take effect in time: NATS is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("NATS does not answer")]
pub struct FlushError;

/// A handle to the connection; clones share it.
#[derive(Debug, Clone)]
pub struct Mux<S> {
    table: Arc<Table<S>>,
}

/// Ends the subscription when dropped.
#[derive(Debug)]
pub struct Subscription<S: Sink> {
    sid: u64,
    table: Arc<Table<S>>,
}

/// What the connection's task and the handles share.
#[derive(Debug)]
struct Table<S> {
    subscriptions: Mutex<HashMap<u64, Entry<S>>>,
    next_sid: AtomicU64,
    outgoing: Mutex<Outgoing>,
    wake: Notify,
}

#[derive(Debug)]
struct Entry<S> {
    subject: Box<str>,
    sink: S,
}

/// Commands since the last write. Bounded by the number of subscriptions: while
/// there is no connection only the table changes, and a new connection starts
/// from the table.
#[derive(Debug, Default)]
struct Outgoing {
    connected: bool,
    commands: Vec<u8>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl<S: Sink> Mux<S> {
    /// Starts the connection's task; it connects, and reconnects for ever, to
    /// one of the servers until `shutdown`.
    pub fn start(
        options: &NatsOptions,
        name: &str,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let table = Arc::new(Table {
            subscriptions: Mutex::default(),
            next_sid: AtomicU64::new(1),
            outgoing: Mutex::default(),
            wake: Notify::new(),
        });
        let connection = connection::Connection::new(Arc::clone(&table), options, name);
        tasks.spawn(async move {
            shutdown.run_until_cancelled(connection.run()).await;
        });
        Self { table }
    }

    /// Subscribes; in effect once a later [`flush`](Self::flush) returns.
    pub fn subscribe(&self, subject: &str, sink: S) -> Subscription<S> {
        let sid = self.table.next_sid.fetch_add(1, Ordering::Relaxed);
        // Entered before it is announced, so that no connection can miss it.
        lock(&self.table.subscriptions).insert(sid, Entry { subject: subject.into(), sink });
        self.table.command(|commands| wire_sub(commands, subject, sid));
        Subscription { sid, table: Arc::clone(&self.table) }
    }

    /// Returns once the server has taken every earlier subscription.
    ///
    /// # Errors
    /// [`FlushError`] after 5 s without an answer.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let answered = async {
            loop {
                let (flushed, answer) = oneshot::channel();
                lock(&self.table.outgoing).flushes.push(flushed);
                self.table.wake.notify_one();
                // A lost connection drops the sender: the next one answers.
                if answer.await.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(FLUSH_TIMEOUT, answered).await.map_err(|_| FlushError)
    }

    /// Whether there is a connection right now.
    pub fn is_connected(&self) -> bool {
        lock(&self.table.outgoing).connected
    }
}

impl<S> Table<S> {
    fn command(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.connected {
            write(&mut outgoing.commands);
            drop(outgoing);
            self.wake.notify_one();
        }
    }
}

impl<S: Sink> Drop for Subscription<S> {
    fn drop(&mut self) {
        lock(&self.table.subscriptions).remove(&self.sid);
        self.table.command(|commands| {
            commands.extend_from_slice(format!("UNSUB {}\r\n", self.sid).as_bytes());
        });
    }
}

fn wire_sub(commands: &mut Vec<u8>, subject: &str, sid: u64) {
    commands.extend_from_slice(b"SUB ");
    commands.extend_from_slice(subject.as_bytes());
    commands.extend_from_slice(format!(" {sid}\r\n").as_bytes());
}

/// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
