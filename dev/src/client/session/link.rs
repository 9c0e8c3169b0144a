//! Where a session stands with its gateway.

use std::time::{Duration, Instant};

/// The connection's state.
#[derive(Debug)]
pub(super) enum Link {
    /// Until the next try.
    Waiting { until: Instant },
    /// Until there is a good token.
    Renewing,
    /// A socket is being opened; whoever opens it bounds the time.
    Connecting,
    /// Hello is said.
    Greeting { since: Instant },
    /// Welcome was received.
    Live(Live),
    /// For good.
    Stopped,
}

/// A connection that was welcomed.
#[derive(Debug)]
pub(super) struct Live {
    heard: Instant,
    heartbeat: Duration,
    /// When a ping that is not answered was sent.
    pub(super) pinged: Option<Instant>,
    /// Everything stored before has come.
    pub(super) caught_up: bool,
    /// The gateway drains: when to go elsewhere.
    pub(super) leave_at: Option<Instant>,
}

impl Link {
    pub(super) fn live(&self) -> Option<&Live> {
        match self {
            Self::Live(live) => Some(live),
            _ => None,
        }
    }

    pub(super) fn live_mut(&mut self) -> Option<&mut Live> {
        match self {
            Self::Live(live) => Some(live),
            _ => None,
        }
    }

    /// Whether there is a socket, or one on its way.
    pub(super) fn has_socket(&self) -> bool {
        matches!(self, Self::Connecting | Self::Greeting { .. } | Self::Live(_))
    }

    /// When something is due if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Waiting { until } => Some(*until),
            Self::Greeting { since } => Some(*since + super::WELCOME_TIMEOUT),
            Self::Live(live) => Some(live.deadline()),
            Self::Renewing | Self::Connecting | Self::Stopped => None,
        }
    }
}

impl Live {
    pub(super) fn new(now: Instant, heartbeat: Duration) -> Self {
        // A heartbeat of nothing would be a busy loop.
        let heartbeat = heartbeat.max(Duration::from_secs(1));
        Self { heard: now, heartbeat, pinged: None, caught_up: false, leave_at: None }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Asks for a sign of life once when the server's own is late.
    pub(super) fn ping_due(&mut self, now: Instant) -> bool {
        let due = self.pinged.is_none() && self.ping_at() <= now;
        if due {
            self.pinged = Some(now);
        }
        due
    }

    /// The moment the server is taken for dead: what it would do to us.
    pub(super) fn silent_until(&self) -> Instant {
        self.heard + 2 * self.heartbeat
    }

    fn ping_at(&self) -> Instant {
        self.heard + self.heartbeat + self.heartbeat / 5
    }

    fn deadline(&self) -> Instant {
        let alive = if self.pinged.is_none() { self.ping_at() } else { self.silent_until() };
        self.leave_at.map_or(alive, |leave_at| leave_at.min(alive))
    }
}
