//! What an operator can set. Checked before anything binds.

use std::{net::SocketAddr, num::NonZeroU16, time::Duration};

use clap::Parser;
use nats::NatsOptions;
use store::{DirectoryOptions, objects::ObjectsOptions};

use crate::{MediaOptions, push::sender::PushOptions};

/// The workers: what Petrel does behind the scenes. Run as many as you like.
#[derive(Debug, Clone, Parser)]
#[command(name = "workers", version)]
pub struct Config {
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsOptions,

    /// Where users and groups are.
    #[command(flatten)]
    pub directory: DirectoryOptions,

    /// Where the bytes of media are.
    #[command(flatten)]
    pub objects: ObjectsOptions,

    /// How media are looked at and kept.
    #[command(flatten)]
    pub media: MediaOptions,

    /// How devices are woken.
    #[command(flatten)]
    pub push: PushOptions,

    /// Address for the operator: /live, /ready, /metrics. Keep it off the internet.
    #[arg(long, env = "PETREL_WORKER_ADMIN_LISTEN", default_value = "127.0.0.1:0")]
    pub admin_listen: SocketAddr,

    /// Most events that are handled together.
    #[arg(long, env = "PETREL_WORKER_BATCH", default_value_t = BATCH)]
    pub batch: NonZeroU16,

    /// Most events in hand at once, over all batches.
    #[arg(long, env = "PETREL_WORKER_IN_HAND", default_value_t = IN_HAND)]
    pub in_hand: NonZeroU16,

    /// Most deletes and purges under way at once. JetStream forgets all requests that
    /// wait when 10,000 do: keep the sum over all workers far below.
    #[arg(long, env = "PETREL_WORKER_DELETES", default_value_t = DELETES)]
    pub deletes: NonZeroU16,

    /// Seconds until somebody whose last connection closed is offline: a device
    /// that changes networks is back within them.
    #[arg(long, env = "PETREL_PRESENCE_GRACE_SECS", default_value_t = PRESENCE_GRACE_SECS,
          value_parser = clap::value_parser!(u64).range(0..=60))]
    pub presence_grace_secs: u64,

    /// Seconds a stopping worker may take to finish what it has in hand.
    #[arg(long, env = "PETREL_WORKER_DRAIN_SECS", default_value_t = DRAIN_SECS,
          value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_secs: u64,
}

/// Large enough that a busy worker writes each watermark once for many
/// messages, small enough that nobody's tick waits for a long batch.
const BATCH: NonZeroU16 = NonZeroU16::new(256).unwrap();
/// What a busy worker handles within the 2.5 s that a request to a shard
/// without a leader takes to fail, so that one shard does not stop all.
const IN_HAND: NonZeroU16 = NonZeroU16::new(4_096).unwrap();
/// More in flight did not delete faster.
const DELETES: NonZeroU16 = NonZeroU16::new(256).unwrap();
/// Longer than a batch takes unless NATS is in trouble.
const DRAIN_SECS: u64 = 10;

/// Long enough for a device that lost one connection to open another.
const PRESENCE_GRACE_SECS: u64 = 3;

impl Config {
    /// For how long somebody whose last connection closed still is online.
    pub fn presence_grace(&self) -> Duration {
        Duration::from_secs(self.presence_grace_secs)
    }

    /// How long a stopping worker finishes what it has in hand.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_secs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn defaults_parse_and_nothing_is_zero() {
        let config = Config::try_parse_from(["workers"]).unwrap();
        assert_eq!(config.batch, BATCH);
        assert_eq!(config.drain(), Duration::from_secs(DRAIN_SECS));
        for flag in ["--batch", "--in-hand", "--deletes"] {
            assert!(Config::try_parse_from(["workers", flag, "0"]).is_err(), "{flag} 0 passed");
        }
    }

    #[test]
    fn the_readme_names_every_setting() {
        let readme = include_str!("../../README.md");
        for argument in Config::command().get_arguments() {
            let Some(variable) = argument.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            let named =
                |line: &str| line.starts_with('|') && line.contains(&format!("`{variable}`"));
            assert!(readme.lines().any(named), "{variable} is not in README.md");
        }
    }
}
