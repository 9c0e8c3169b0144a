//! Whether a provider may be asked: a circuit breaker and a bulkhead, decided
//! without a clock or a lock of their own.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which a provider is left alone.
const FAILURES: u32 = 5;
/// For how long, the first time; it doubles with each time in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// Requests at once to a provider that has not answered yet: a silent one holds
/// no more than these until it is left alone.
const UNPROVEN: usize = 8;
/// When to ask again where all places are taken, or a probe is under way.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// What is known of one provider.
#[derive(Debug)]
pub(super) struct Circuit {
    /// Most requests at once.
    width: usize,
    in_flight: usize,
    phase: Phase,
    /// In a row, while it is closed.
    failures: u32,
    /// Pauses in a row.
    pauses: u32,
    /// How often the phase changed: what began in another one decides nothing.
    epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not answered since it failed, or ever.
    Unproven,
    /// It answers.
    Closed,
    /// It is left alone.
    Open { until: Instant },
    /// One request finds out whether it answers again.
    Probing,
}

/// A request that may be made; to be settled when it is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    epoch: u64,
}

/// Why no request may be made now, and how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// As many as may are under way.
    Full(Duration),
    /// It is left alone.
    Open(Duration),
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With an answer, whatever it says, as long as the provider works.
    Answered,
    /// Without one, or with one that says that it does not work.
    Failed,
    /// Before anything was known.
    Abandoned,
}

/// What an ending changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Opened(Duration),
    Closed,
}

impl Circuit {
    pub(super) fn new(width: usize) -> Self {
        Self { width, in_flight: 0, phase: Phase::Unproven, failures: 0, pauses: 0, epoch: 0 }
    }

    /// Why a request would not be let through now, if it would not.
    pub(super) fn held(&self, now: Instant) -> Option<Held> {
        let places = match self.phase {
            Phase::Unproven => UNPROVEN.min(self.width),
            Phase::Closed => self.width,
            Phase::Open { until } if now < until => return Some(Held::Open(until - now)),
            Phase::Open { .. } => self.width,
            Phase::Probing => return Some(Held::Open(SOON)),
        };
        (self.in_flight >= places).then_some(Held::Full(SOON))
    }

    /// Asks for one request.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Ticket, Held> {
        if let Some(held) = self.held(now) {
            return Err(held);
        }
        if matches!(self.phase, Phase::Open { .. }) {
            self.turn(Phase::Probing);
        }
        self.in_flight += 1;
        Ok(Ticket { epoch: self.epoch })
    }

    /// Takes back a request that is over.
    pub(super) fn settle(
        &mut self,
        ticket: Ticket,
        ending: Ending,
        now: Instant,
    ) -> Option<Change> {
        self.in_flight -= 1;
        if ticket.epoch != self.epoch {
            return None;
        }
        match (ending, self.phase) {
            (Ending::Answered, Phase::Probing) => {
                self.pauses = 0;
                self.turn(Phase::Closed);
                Some(Change::Closed)
            }
            (Ending::Answered, _) => {
                self.failures = 0;
                self.phase = Phase::Closed;
                None
            }
            (Ending::Failed, Phase::Probing) => Some(self.open(now)),
            (Ending::Failed, _) => {
                self.failures += 1;
                (self.failures >= FAILURES).then(|| self.open(now))
            }
            (Ending::Abandoned, Phase::Probing) => {
                self.turn(Phase::Open { until: now });
                None
            }
            (Ending::Abandoned, _) => None,
        }
    }

    /// Whether it is not simply used.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. } | Phase::Probing)
    }

    fn open(&mut self, now: Instant) -> Change {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(16)).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        self.turn(Phase::Open { until: now + pause });
        Change::Opened(pause)
    }

    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.failures = 0;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests;
