//! People who are to be woken.

use clap::Args;

use super::{LONGEST_SECS, Pace, Timing, Traffic};

/// The grace that a device which seems to be connected gets, in seconds, and
/// one more: only then are as many messages looked at again as come anew.
const LEAST_WARM_UP: u64 = 6;

/// Devices are woken.
#[derive(Debug, Clone, Args)]
pub(in crate::load) struct Push {
    /// People with a browser to be woken. Each gets one message from one other
    /// while they are not connected
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(in crate::load) people: u32,

    /// More people, who send it
    #[arg(long, default_value_t = 20, conflicts_with = "connected", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::load) senders: u32,

    /// Instead they are connected, talk in pairs and acknowledge at once, first
    /// as many others who cannot be woken: what it costs that they could be
    #[arg(long)]
    pub(in crate::load) connected: bool,

    #[command(flatten)]
    pub(in crate::load) pace: Pace,

    /// Of each half, if they are connected; not measured are 6 s at least
    #[command(flatten)]
    pub(in crate::load) timing: Timing,
}

impl Push {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let Timing { duration, warm_up } = self.timing;
        if self.connected && 2 * (duration + warm_up.max(LEAST_WARM_UP)) > LONGEST_SECS {
            Err("with --connected it is measured twice, which takes too long: lower --duration")
        } else {
            Ok(())
        }
    }

    /// What connected people say.
    pub(in crate::load) fn traffic(&self) -> Traffic {
        let warm_up = self.timing.warm_up.max(LEAST_WARM_UP);
        Traffic {
            connections: self.people.next_multiple_of(2),
            pace: self.pace,
            timing: Timing { warm_up, ..self.timing },
        }
    }
}
