//! What can be asked of the load generator.

use std::{ops::Range, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::SyncMode;

/// An access token lives 15 minutes and is not renewed here.
const LONGEST_SECS: u64 = 600;

/// Measures a Petrel: its own stack on this machine, or a given one.
///
/// Exits with 1 when a message was lost, doubled or out of order.
#[derive(Debug, Clone, Parser)]
#[command(name = "petrel-load", version)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) target: TargetOptions,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What is measured.
#[derive(Debug, Clone, Args)]
pub(super) struct TargetOptions {
    /// A gateway that runs already, e.g. http://127.0.0.1:8080; again for each.
    /// Without it a stack of its own is started
    #[arg(long, global = true, value_name = "URL")]
    pub(super) target: Vec<String>,

    /// Processes of the given Petrel on this machine, to account for their CPU
    /// and memory: gateway=PID, worker=PID or nats=PID, comma separated
    #[arg(
        long,
        global = true,
        value_name = "ROLE=PID,…",
        value_delimiter = ',',
        requires = "target"
    )]
    pub(super) pids: Vec<RolePid>,

    /// Gateways of the own stack
    #[arg(long, global = true, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(super) gateways: u8,

    /// Workers of the own stack
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(super) workers: u8,

    /// nats-servers of the own stack: 1, or 3 that keep three copies
    #[arg(long, global = true, default_value_t = 1, value_parser = nodes)]
    pub(super) nats_nodes: u8,

    /// When the own stack's nats-servers write to the disk: by the server's
    /// default (every 2 minutes), or always, before each acknowledgement
    #[arg(long, global = true, value_enum, default_value_t = Sync::Default)]
    pub(super) sync: Sync,

    /// One line of JSON instead of a table
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Shows what the own stack's processes print
    #[arg(long, global = true)]
    pub(super) verbose: bool,
}

/// When nats-server writes to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Sync {
    /// Every two minutes.
    Default,
    /// Before each acknowledgement.
    Always,
}

impl From<Sync> for SyncMode {
    fn from(sync: Sync) -> Self {
        match sync {
            Sync::Default => Self::Default,
            Sync::Always => Self::Always,
        }
    }
}

/// One process and what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct RolePid {
    pub(super) role: Role,
    pub(super) pid: u32,
}

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    /// A gateway.
    Gateway,
    /// A worker.
    Worker,
    /// A nats-server.
    Nats,
}

impl std::str::FromStr for RolePid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, pid) = text.split_once('=').ok_or("expected ROLE=PID")?;
        let pid = pid.parse().map_err(|_| format!("{pid:?} is no process id"))?;
        Ok(Self { role: Role::from_str(role, true)?, pid })
    }
}

fn nodes(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".into()),
    }
}

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// People talk in pairs, at a given rate or as fast as it goes
    Traffic(Traffic),
    /// People talk in groups: until the last has it, and what is written for it
    Groups(Groups),
    /// People are connected and say nothing: memory per connection
    Idle(Idle),
    /// People come online and stay: CPU, and until a watcher is told
    Presence(Presence),
    /// All people of one gateway lose it and come back on another
    Reconnect(Reconnect),
    /// One person comes back to a long backlog
    Backlog(Backlog),
}

/// People talk in pairs.
#[derive(Debug, Clone, Args)]
pub(super) struct Traffic {
    /// Connected people; each talks to one other, on another gateway where there is one
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    pub(super) connections: u32,

    /// Messages per second of all together, sent at planned times whatever the
    /// answers do; latencies count from the planned time
    #[arg(long, default_value_t = 500, conflicts_with = "flat_out", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: u32,

    /// As fast as it goes: everyone keeps a window of undelivered messages full
    #[arg(long)]
    pub(super) flat_out: bool,

    /// That window
    #[arg(long, default_value_t = 4, requires = "flat_out", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) window: u32,

    /// Bytes of each body's JSON text
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(80..=16_384))]
    pub(super) body: u32,

    #[command(flatten)]
    pub(super) timing: Timing,
}

/// People talk in groups.
#[derive(Debug, Clone, Args)]
pub(super) struct Groups {
    /// Groups
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) groups: u32,

    /// Members of each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub(super) size: u32,

    /// Connected people, who are members in turn; by default nobody is in two groups
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    pub(super) people: Option<u32>,

    /// Members of each group who talk, in turn; the others only read
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) speakers: u32,

    /// More people, each a member of every group, with a slow socket: it takes
    /// one frame per pause. All is measured twice, first while they are as
    /// quick as the others
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=98))]
    pub(super) slow: u32,

    /// That pause
    #[arg(long, value_name = "MS", default_value_t = 1_000, requires = "slow", value_parser = clap::value_parser!(u64).range(1..=20_000))]
    pub(super) pause: u64,

    /// Messages per second to all groups together, sent at planned times
    /// whatever the answers do; latencies count from the planned time
    #[arg(long, default_value_t = 20, conflicts_with = "flat_out", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: u32,

    /// As fast as it goes: every speaker keeps a window of messages full that
    /// somebody has not got yet
    #[arg(long)]
    pub(super) flat_out: bool,

    /// That window
    #[arg(long, default_value_t = 4, requires = "flat_out", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) window: u32,

    /// Bytes of each body's JSON text
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(80..=16_384))]
    pub(super) body: u32,

    #[command(flatten)]
    pub(super) timing: Timing,
}

/// For how long it is measured.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Timing {
    /// Seconds that are measured
    #[arg(long, value_name = "SECS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECS))]
    pub(super) duration: u64,

    /// Seconds before that are not
    #[arg(long, value_name = "SECS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(super) warm_up: u64,
}

/// People say nothing.
#[derive(Debug, Clone, Args)]
pub(super) struct Idle {
    /// Connected people
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connections: u32,

    /// Seconds they stay; above 25, the server's pings are part of it
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECS))]
    pub(super) hold: u64,
}

/// People come online.
#[derive(Debug, Clone, Args)]
pub(super) struct Presence {
    /// People who are online, and whom nobody watches
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connections: u32,

    /// Seconds they stay before anybody else comes
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECS))]
    pub(super) hold: u64,

    /// More people, who come one after the other while somebody watches them
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) changes: u32,
}

/// A gateway is killed.
#[derive(Debug, Clone, Args)]
pub(super) struct Reconnect {
    /// People on the gateway that is killed
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub(super) connections: u32,

    /// Milliseconds over which they spread their first try, as a client's jitter does
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub(super) spread: u64,
}

/// A backlog is read.
#[derive(Debug, Clone, Args)]
pub(super) struct Backlog {
    /// Messages that wait
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) messages: u32,

    /// People who sent them
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) senders: u32,

    /// Bytes of each body's JSON text
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(80..=16_384))]
    pub(super) body: u32,
}

impl Options {
    /// What cannot be asked together, beyond what clap sees by itself.
    ///
    /// # Errors
    /// With what to say to the person.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let own_pair = self.target.target.is_empty() && self.target.gateways >= 2;
        match &self.command {
            Command::Reconnect(_) if !own_pair => {
                Err("reconnect kills a gateway: it needs its own stack, of two gateways at least")
            }
            Command::Groups(groups) => groups.check(),
            _ => Ok(()),
        }
    }
}

impl Groups {
    /// Members of each group who take what comes as it comes.
    pub(super) fn quick(&self) -> u32 {
        self.size.saturating_sub(self.slow)
    }

    /// People who do.
    pub(super) fn quick_people(&self) -> u32 {
        self.people.unwrap_or(self.groups * self.quick())
    }

    /// Members of each group who talk.
    pub(super) fn speakers(&self) -> u32 {
        self.speakers.min(self.quick())
    }

    fn check(&self) -> Result<(), &'static str> {
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

impl Timing {
    /// What is measured.
    pub(super) fn duration(self) -> Duration {
        Duration::from_secs(self.duration)
    }

    /// What goes before.
    pub(super) fn warm_up(self) -> Duration {
        Duration::from_secs(self.warm_up)
    }

    /// What is measured, in microseconds since the start.
    pub(super) fn measured_us(self) -> Range<u64> {
        let from = self.warm_up * 1_000_000;
        from..from + self.duration * 1_000_000
    }
}
