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
        Self::of_width(provider, name, options.push_at_once.get() as usize)
    }

    fn of_width(provider: &'static str, name: &str, width: usize) -> Arc<Self> {
        Arc::new(Self { provider, name: name.into(), circuit: Mutex::new(Circuit::new(width)) })
    }

    pub(super) fn enter(self: &Arc<Self>) -> Result<Pass, Failure> {
        let ticket = self.circuit().admit(Instant::now())?;
        Ok(Pass { gate: self.clone(), ticket: Some(ticket), among: None })
    }

    /// How long a request would be held back now. Asking takes no place.
    pub(super) fn held(&self) -> Option<Duration> {
        let (Held::Full(wait) | Held::Open(wait)) = self.circuit().held(Instant::now())?;
        Some(wait)
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

impl From<Held> for Failure {
    fn from(held: Held) -> Self {
        match held {
            Held::Full(wait) => Self::Held("full", wait),
            Held::Open(wait) => Self::Held("circuit_open", wait),
        }
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
    width: usize,
    gates: Cache<String, Arc<Gate>>,
    among: Arc<Semaphore>,
}

impl Gates {
    pub(super) fn new(options: &PushOptions) -> Self {
        Self {
            width: options.push_at_once.get() as usize,
            gates: Cache::builder().max_capacity(SERVICES).time_to_idle(IDLE).build(),
            among: Arc::new(Semaphore::new(WITH_SERVICES)),
        }
    }

    pub(super) fn enter(&self, provider: &'static str, origin: &str) -> Result<Pass, Failure> {
        let full = |_| Failure::Held("full", SOON);
        let among = self.among.clone().try_acquire_owned().map_err(full)?;
        let gate =
            self.gates.get_with_by_ref(origin, || Gate::of_width(provider, origin, self.width));
        let mut pass = gate.enter()?;
        pass.among = Some(among);
        Ok(pass)
    }

    /// How long a request to that origin would be held back now.
    pub(super) fn held(&self, origin: &str) -> Option<Duration> {
        if self.among.available_permits() == 0 {
            return Some(SOON);
        }
        self.gates.get(origin)?.held()
    }
}
