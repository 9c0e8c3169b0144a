//! What happens to people who say little.

use clap::Args;

use super::LONGEST_SECS;

/// People say nothing.
#[derive(Debug, Clone, Args)]
pub(in crate::load) struct Idle {
    /// Connected people
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::load) connections: u32,

    /// Seconds they stay; above 25, the server's pings are part of it
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECS))]
    pub(in crate::load) hold: u64,
}

/// People come online.
#[derive(Debug, Clone, Args)]
pub(in crate::load) struct Presence {
    /// People who are online, and whom nobody watches
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::load) connections: u32,

    /// Seconds they stay before anybody else comes
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECS))]
    pub(in crate::load) hold: u64,

    /// More people, who come one after the other while somebody watches them
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(in crate::load) changes: u32,
}

/// A gateway is killed.
#[derive(Debug, Clone, Args)]
pub(in crate::load) struct Reconnect {
    /// People on the gateway that is killed
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub(in crate::load) connections: u32,

    /// Milliseconds over which they spread their first try, as a client's jitter does
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub(in crate::load) spread: u64,
}

/// A backlog is read.
#[derive(Debug, Clone, Args)]
pub(in crate::load) struct Backlog {
    /// Messages that wait
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::load) messages: u32,

    /// People who sent them
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::load) senders: u32,

    /// Bytes of each body's JSON text
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(80..=16_384))]
    pub(in crate::load) body: u32,
}
