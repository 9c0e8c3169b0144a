//! What all members share while they talk.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::roll::Roll;
use crate::load::{latency::Latency, run::Run};

/// One measured time, in which slow members are slow or not.
pub(super) struct Phase {
    pub(super) run: Run,
    /// Between two frames that a slow member takes, in this phase.
    pub(super) pause: Option<Duration>,
    /// Nothing is sent any more: the slow ones take what is left.
    pub(super) hurry: CancellationToken,
    /// From the planned time to the last quick member.
    pub(super) last: Latency,
    /// Messages that reached one member more.
    pub(super) delivered: AtomicU64,
    /// Messages that slow members took.
    pub(super) taken_slowly: AtomicU64,
}

impl Phase {
    pub(super) fn new(run: Run, pause: Option<Duration>) -> Self {
        Self {
            run,
            pause,
            hurry: CancellationToken::new(),
            last: Latency::new(),
            delivered: AtomicU64::new(0),
            taken_slowly: AtomicU64::new(0),
        }
    }

    /// Counts deliveries, those of now also as in the measured time.
    pub(super) fn count_delivered(&self, deliveries: u64, now_us: u64) {
        self.delivered.fetch_add(deliveries, Relaxed);
        if self.run.measured_us.contains(&now_us) {
            self.run.counts.delivered_in_time.fetch_add(deliveries, Relaxed);
        }
    }
}

/// How many quick members have not received each message yet.
pub(super) struct Board {
    voices: Vec<Mutex<Vec<u32>>>,
    receivers: u32,
}

impl Board {
    /// Nothing is sent yet.
    pub(super) fn new(roll: &Roll) -> Self {
        let receivers = u32::try_from(roll.quick() - 1).unwrap_or(u32::MAX);
        Self { voices: (0..roll.voices()).map(|_| Mutex::default()).collect(), receivers }
    }

    /// The next message of a voice is about to be sent.
    pub(super) fn send(&self, voice: usize) {
        let mut missing = self.voices[voice].lock().unwrap_or_else(PoisonError::into_inner);
        missing.push(self.receivers);
    }

    /// One more quick member has received message `n`; whether it was the last.
    pub(super) fn receive(&self, voice: usize, n: u32) -> bool {
        let mut missing = self.voices[voice].lock().unwrap_or_else(PoisonError::into_inner);
        let Some(missing) = missing.get_mut(n as usize) else { return false };
        *missing = missing.saturating_sub(1);
        *missing == 0
    }
}
