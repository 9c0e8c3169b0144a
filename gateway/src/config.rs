//! What an operator can set. Checked before anything binds.

use std::{net::SocketAddr, time::Duration};

use base64::Engine as _;
use clap::Parser;
use nats::options::NatsOptions;
use schemas::limits;
use store::{DirectoryOptions, objects::ObjectsOptions};

use crate::{address::ProxyOptions, limits::LimitOptions, media::MediaOptions};

/// The gateway: HTTP and WebSocket sessions in front of the inboxes.
#[derive(Debug, Clone, Parser)]
#[command(name = "gateway", version)]
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

    /// Address for clients.
    #[arg(long, env = "PETREL_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Address for the operator: /live, /ready, /metrics. Keep it off the internet.
    #[arg(long, env = "PETREL_ADMIN_LISTEN", default_value = "127.0.0.1:8081")]
    pub admin_listen: SocketAddr,

    /// Signs tokens; the same on every gateway: base64 of at least 32 random
    /// bytes, for example from `openssl rand -base64 32`.
    #[arg(long, env = "PETREL_SIGNING_KEY", hide_env_values = true)]
    pub signing_key: SigningKey,

    /// This gateway's name in welcomes and logs; made up where not given.
    #[arg(long, env = "PETREL_GATEWAY_NAME")]
    pub name: Option<String>,

    /// Shortest password accepted at registration, in bytes.
    #[arg(long, env = "PETREL_PASSWORD_MIN", default_value_t = 8)]
    pub password_min: usize,

    /// Memory of one password hash (argon2id), in KiB.
    #[arg(long, env = "PETREL_ARGON2_MEMORY_KIB", default_value_t = argon2::Params::DEFAULT_M_COST)]
    pub argon2_memory_kib: u32,

    /// Passes of one password hash (argon2id).
    #[arg(long, env = "PETREL_ARGON2_PASSES", default_value_t = argon2::Params::DEFAULT_T_COST)]
    pub argon2_passes: u32,

    /// Seconds between the server's WebSocket pings; a client silent for two
    /// of them is gone.
    #[arg(long, env = "PETREL_HEARTBEAT_SECS", default_value_t = limits::HEARTBEAT.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub heartbeat_secs: u64,

    /// Seconds that the others wait for this gateway when it has died: sends to
    /// groups fail when NATS is away for longer.
    #[arg(long, env = "PETREL_LEASE_SECS", default_value_t = 15,
          value_parser = clap::value_parser!(u64).range(3..=60))]
    pub lease_secs: u64,

    /// Seconds a stopping gateway gives its clients to move elsewhere.
    #[arg(long, env = "PETREL_DRAIN_SECS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_secs: u64,

    /// What may be uploaded.
    #[command(flatten)]
    pub media: MediaOptions,

    /// For development: browsers' push endpoints may be on this machine, without
    /// TLS. The workers have to be told, too.
    #[arg(long, env = "PETREL_PUSH_ALLOW_LOOPBACK")]
    pub push_allow_loopback: bool,

    /// Who is asking.
    #[command(flatten)]
    pub proxies: ProxyOptions,

    /// How often.
    #[command(flatten)]
    pub limits: LimitOptions,
}

/// The secret behind every token. Never printed.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    const BYTES: usize = 32;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl std::str::FromStr for SigningKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = base64::engine::general_purpose::STANDARD
            .decode(text.trim())
            .map_err(|_| "not base64".to_owned())?;
        if key.len() < Self::BYTES {
            return Err(format!("{} bytes, but at least {} are needed", key.len(), Self::BYTES));
        }
        Ok(Self(key))
    }
}

impl Config {
    /// How long a stopping gateway waits for its clients.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_secs)
    }

    /// How long this gateway's lease lasts unless it is renewed.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_secs)
    }

    /// The interval of the server's pings.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_secs)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_readme_names_every_setting_with_its_default() {
        let readme = include_str!("../../README.md");
        for argument in Config::command().get_arguments() {
            let Some(variable) = argument.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            let row = readme.lines().find(|line| line.contains(&format!("`{variable}`")));
            assert!(row.is_some(), "{variable} is not in README.md");
            if variable.contains("_LIMIT_") || variable.contains("_DELAY") {
                let default = argument.get_default_values()[0].to_string_lossy();
                assert!(
                    row.is_some_and(|row| row.contains(&format!("| `{default}` |"))),
                    "{row:?}"
                );
            }
        }
    }
}
