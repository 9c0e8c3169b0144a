//! People who talk, and how much they say.

use std::{ops::Range, time::Duration};

use clap::Args;

use super::LONGEST_SECS;
use crate::load::{pace::Plan, run::Style};

/// People talk in pairs.
#[derive(Debug, Clone, Args)]
pub(in crate::load) struct Traffic {
    /// Connected people; each talks to one other, on another gateway where there is one
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    pub(in crate::load) connections: u32,

    #[command(flatten)]
    pub(in crate::load) pace: Pace,

    #[command(flatten)]
    pub(in crate::load) timing: Timing,
}

/// People talk in groups.
#[derive(Debug, Clone, Args)]
pub(in crate::load) struct Groups {
    /// Groups
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::load) groups: u32,

    /// Members of each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub(in crate::load) size: u32,

    /// Connected people, who are members in turn; by default nobody is in two groups
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    pub(in crate::load) people: Option<u32>,

    /// Members of each group who talk, in turn; the others only read
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(in crate::load) speakers: u32,

    /// More people, each a member of every group, with a slow socket: it takes
    /// one frame per pause. All is measured twice, first while they are as
    /// quick as the others
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=98))]
    pub(in crate::load) slow: u32,

    /// That pause
    #[arg(long, value_name = "MS", default_value_t = 1_000, requires = "slow", value_parser = clap::value_parser!(u64).range(1..=20_000))]
    pub(in crate::load) pause: u64,

    #[command(flatten)]
    pub(in crate::load) pace: Pace,

    #[command(flatten)]
    pub(in crate::load) timing: Timing,
}

/// How much is said.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::load) struct Pace {
    /// Messages per second of all together, sent at planned times whatever the
    /// answers do; latencies count from the planned time [default: 500, in groups 20, of push to who is away 100]
    #[arg(long, conflicts_with = "flat_out", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// As fast as it goes: everyone who talks keeps a window of messages full
    /// that somebody has not got yet
    #[arg(long)]
    flat_out: bool,

    /// That window
    #[arg(long, default_value_t = 4, requires = "flat_out", value_parser = clap::value_parser!(u32).range(1..=64))]
    window: u32,

    /// Bytes of each body's JSON text
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(80..=16_384))]
    pub(in crate::load) body: u32,
}

/// For how long it is measured.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::load) struct Timing {
    /// Seconds that are measured
    #[arg(long, value_name = "SECS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECS))]
    pub(in crate::load) duration: u64,

    /// Seconds before that are not
    #[arg(long, value_name = "SECS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(in crate::load) warm_up: u64,
}

impl Groups {
    /// Members of each group who take what comes as it comes.
    pub(in crate::load) fn quick(&self) -> u32 {
        self.size.saturating_sub(self.slow)
    }

    /// People who do.
    pub(in crate::load) fn quick_people(&self) -> u32 {
        self.people.unwrap_or(self.groups * self.quick())
    }

    /// Members of each group who talk.
    pub(in crate::load) fn speakers(&self) -> u32 {
        self.speakers.min(self.quick())
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let phases = if self.slow > 0 { 2 } else { 1 };
        if self.quick() < 2 {
            Err("a group needs two members at least who are not slow: raise --size")
        } else if self.quick_people() < self.quick() {
            Err("a group has no member twice: raise --people, or lower --size")
        } else if phases * (self.timing.duration + self.timing.warm_up) > LONGEST_SECS {
            Err("with --slow it is measured twice, which takes too long: lower --duration")
        } else {
            Ok(())
        }
    }
}

impl Pace {
    /// Messages per second, this many unless something else is asked for; none:
    /// as fast as it goes.
    pub(in crate::load) fn rate(self, default: u32) -> Option<u32> {
        (!self.flat_out).then_some(self.rate.unwrap_or(default))
    }

    /// The window, if it is as fast as it goes.
    pub(in crate::load) fn window(self) -> Option<u32> {
        self.flat_out.then_some(self.window)
    }

    /// When so many people send.
    pub(in crate::load) fn style(self, default: u32, people: u32) -> Style {
        match self.rate(default) {
            Some(rate) => Style::Planned(Plan { rate, people }),
            None => Style::Window(self.window),
        }
    }
}

impl Timing {
    /// What is measured.
    pub(in crate::load) fn duration(self) -> Duration {
        Duration::from_secs(self.duration)
    }

    /// What goes before.
    pub(in crate::load) fn warm_up(self) -> Duration {
        Duration::from_secs(self.warm_up)
    }

    /// What is measured, in microseconds since the start.
    pub(in crate::load) fn measured_us(self) -> Range<u64> {
        let from = self.warm_up * 1_000_000;
        from..from + self.duration * 1_000_000
    }
}
