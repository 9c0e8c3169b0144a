//! The way to a provider, for all who send to it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::{Gauge, gauge};
use moka::sync::Cache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::{info, warn};

use super::{
    circuit::{Change, Circuit, Ending, Held, SOON, Ticket},
    failure::Failure,
    options::PushOptions,
};

/// Web Push services that are remembered. In life there are a handful; clients can
/// make up more.
const SERVICES: u64 = 4_096;
/// Requests that are with all of them together.
const WITH_SERVICES: usize = 1_024;
/// A service that was not asked for so long is one like any other again.
const IDLE: Duration = Duration::from_secs(900);

/// Lets requests to one provider through, or holds them back.
pub(super) struct Gate {
    provider: &'static str,
    /// What logs call it.
    name: String,
    circuit: Mutex<Circuit>,
}

/// A request on its way. Dropped without [`settle`](Self::settle), it tells nothing
/// about the provider.
pub(super) struct Pass {
    gate: Arc<Gate>,
    ticket: Option<Ticket>,
    /// A place among the requests to all of a kind.
    among: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub(super) fn new(provider: &'static str, name: &str, options: &PushOptions) -> Arc<Self> {
        let width = options.push_at_once.get() as usize;
        Arc::new(Self { provider, name: name.into(), circuit: Mutex::new(Circuit::new(width)) })
    }

    pub(super) fn enter(self: &Arc<Self>) -> Result<Pass, Failure> {
        match self.circuit().admit(Instant::now()) {
            Ok(ticket) => Ok(Pass { gate: self.clone(), ticket: Some(ticket), among: None }),
            Err(Held::Full(wait)) => Err(Failure::Held("full", wait)),
            Err(Held::Open(wait)) => Err(Failure::Held("circuit_open", wait)),
        }
    }

    fn settle(&self, ticket: Ticket, ending: Ending) {
        let change = self.circuit().settle(ticket, ending, Instant::now());
        match change {
            Some(Change::Opened(pause)) => {
                warn!(
                    provider = self.provider,
                    service = self.name,
                    ?pause,
                    "it fails: left alone"
                );
                open_circuits(self.provider).increment(1);
            }
            Some(Change::Closed) => {
                info!(provider = self.provider, service = self.name, "it answers again");
                open_circuits(self.provider).decrement(1);
            }
            None => {}
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that is forgotten is no longer counted as open.
impl Drop for Gate {
    fn drop(&mut self) {
        if self.circuit().is_open() {
            open_circuits(self.provider).decrement(1);
        }
    }
}

fn open_circuits(provider: &'static str) -> Gauge {
    gauge!("petrel_push_open_circuits", "provider" => provider)
}

impl Pass {
    /// Says how the request ended.
    pub(super) fn settle(mut self, ending: Ending) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(ticket, ending);
        }
        drop(self.among.take());
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(ticket, Ending::Abandoned);
        }
    }
}

/// The gates to Web Push services, by their origin.
pub(super) struct Gates {
    options: PushOptions,
    gates: Cache<String, Arc<Gate>>,
    among: Arc<Semaphore>,
}

impl Gates {
    pub(super) fn new(options: &PushOptions) -> Self {
        Self {
            options: options.clone(),
            gates: Cache::builder().max_capacity(SERVICES).time_to_idle(IDLE).build(),
            among: Arc::new(Semaphore::new(WITH_SERVICES)),
        }
    }

    pub(super) fn enter(&self, provider: &'static str, origin: &str) -> Result<Pass, Failure> {
        let full = |_| Failure::Held("full", SOON);
        let among = self.among.clone().try_acquire_owned().map_err(full)?;
        let gate =
            self.gates.get_with_by_ref(origin, || Gate::new(provider, origin, &self.options));
        let mut pass = gate.enter()?;
        pass.among = Some(among);
        Ok(pass)
    }
}
