//! What can be asked of the load generator.

mod files;
mod push;
mod scenes;
mod talk;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use self::{
    files::Media,
    push::Push,
    scenes::{Backlog, Idle, Presence, Reconnect},
    talk::{Groups, Pace, Timing, Traffic},
};
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
    /// People upload files and download them again, against a plain copy
    Media(Media),
    /// People who are away are woken; or are connected, and what that costs
    Push(Push),
}

impl Command {
    /// What the processes of a stack of its own are told, by variable.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Media(media) => media.settings(),
            _ => Vec::new(),
        }
    }
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
            Command::Push(_) if !self.target.target.is_empty() => {
                Err("push tells workers where to push: it needs its own stack")
            }
            Command::Push(push) => push.check(),
            Command::Groups(groups) => groups.check(),
            _ => Ok(()),
        }
    }
}
