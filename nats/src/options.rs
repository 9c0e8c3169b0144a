//! How a process finds NATS.

use std::fmt;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

use crate::subject::Shards;

/// Where the NATS cluster is and how the inboxes are spread over it: the same
/// flags for every Petrel process.
#[derive(clap::Args, Clone, PartialEq, Eq)]
pub struct NatsOptions {
    /// Servers of the NATS cluster, comma separated: nats://host:4222, with
    /// user:password@ or token@ in front of the host where it asks for one.
    #[arg(
        long,
        env = "PETREL_NATS",
        value_name = "URL,…",
        value_delimiter = ',',
        default_value = "nats://127.0.0.1:4222",
        value_parser = check_url,
        hide_env_values = true
    )]
    pub nats: Vec<String>,

    /// Shards the inboxes are spread over; fixed when the streams are made.
    #[arg(
        long,
        env = "PETREL_SHARDS",
        default_value_t = Shards::DEFAULT.count(),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(Shards::MAX))
    )]
    pub shards: u32,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self { nats: vec!["nats://127.0.0.1:4222".to_owned()], shards: Shards::DEFAULT.count() }
    }
}

/// What a server is told at connect, out of the URL.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `nats://user:password@host`
    User {
        /// The user's name.
        name: String,
        /// The user's password.
        password: String,
    },
    /// `nats://token@host`
    Token(String),
}

impl NatsOptions {
    /// The servers' addresses.
    ///
    /// # Errors
    /// When one is not a NATS URL; options parsed by clap never are.
    pub fn servers(&self) -> std::io::Result<Vec<ServerAddr>> {
        self.nats.iter().map(|url| url.parse()).collect()
    }

    /// The credentials of the first URL that has some. The servers of one
    /// cluster share their accounts, so one set serves them all.
    pub fn credentials(&self) -> Option<Credentials> {
        self.servers().ok()?.iter().find_map(Credentials::of)
    }
}

impl Credentials {
    fn of(address: &ServerAddr) -> Option<Self> {
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let name = plain(address.username()?);
        Some(match address.password() {
            Some(password) => Self::User { name, password: plain(password) },
            None => Self::Token(name),
        })
    }
}

fn check_url(url: &str) -> Result<String, String> {
    let address: ServerAddr = url.parse().map_err(|error: std::io::Error| error.to_string())?;
    if address.host().is_empty() {
        return Err("a NATS server URL needs a host".to_owned());
    }
    Ok(url.to_owned())
}

/// URLs may hold a password, which no log may show.
impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked: Vec<String> = self.nats.iter().map(|url| mask(url)).collect();
        f.debug_struct("NatsOptions").field("nats", &masked).field("shards", &self.shards).finish()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name, .. } => write!(f, "User({name})"),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

fn mask(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}…{}", &url[..scheme + 3], &url[at..])
        }
        (None, Some(at)) => format!("…{}", &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        nats: NatsOptions,
    }

    fn parse(args: &[&str]) -> Result<NatsOptions, clap::Error> {
        Command::try_parse_from([&["petrel"], args].concat()).map(|command| command.nats)
    }

    #[test]
    fn servers_are_comma_separated_and_checked() {
        let options = parse(&["--nats", "nats://a:1,tls://b", "--shards", "64"]).unwrap();
        assert_eq!(options.nats, ["nats://a:1", "tls://b"]);
        assert_eq!(options.shards, 64);
        assert_eq!(options.servers().unwrap().len(), 2);

        for bad in ["http://a", "nats://", "nats://a:port", ""] {
            assert!(parse(&["--nats", bad]).is_err(), "{bad:?} passed");
        }
        for bad in ["0", "257", "-1", "x"] {
            assert!(parse(&["--shards", bad]).is_err(), "{bad:?} passed");
        }
    }

    #[test]
    fn credentials_come_from_the_url_and_stay_out_of_logs() {
        let user = parse(&["--nats", "nats://ann:p%40ss%2F@a:1,nats://b"]).unwrap();
        let expected = Credentials::User { name: "ann".into(), password: "p@ss/".into() };
        assert_eq!(user.credentials(), Some(expected));
        assert!(!format!("{user:?} {:?}", user.credentials()).contains("p%40ss"));
        assert!(!format!("{user:?} {:?}", user.credentials()).contains("p@ss"));

        let token = parse(&["--nats", "nats://s3cret@a"]).unwrap();
        assert_eq!(token.credentials(), Some(Credentials::Token("s3cret".into())));
        assert!(!format!("{token:?} {:?}", token.credentials()).contains("s3cret"));

        assert_eq!(parse(&["--nats", "nats://a"]).unwrap().credentials(), None);
    }
}
