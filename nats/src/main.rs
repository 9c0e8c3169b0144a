//! `nats diff|apply|place`: the operator's view of what Petrel has in JetStream.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use nats::{Bus, NatsOptions, Topology, place, reconcile, topology::INBOX_MAX_MESSAGES};
use tracing_subscriber::EnvFilter;

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;
/// What `diff` exits with where there are differences, as diff(1) does.
const DIFFERENT: u8 = 1;
/// Trouble, as diff(1) calls it: not to be mistaken for a difference.
const TROUBLE: u8 = 2;

/// Shows how a NATS server differs from what Petrel declares, and reconciles it.
#[derive(Parser)]
#[command(name = "nats", version)]
enum Command {
    /// Shows the differences; exits 1 where there are some.
    Diff(Options),
    /// Creates what is missing and updates what differs. Deletes nothing, and
    /// refuses as a whole what cannot be changed in place.
    Apply(Options),
    /// Spreads the streams' leaders over the nodes of a cluster.
    Place {
        #[command(flatten)]
        options: Options,
        /// Only says what it would do.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(clap::Args)]
struct Options {
    #[command(flatten)]
    nats: NatsOptions,
    /// Copies of every stream: 1, or 3 in a cluster.
    #[arg(long, env = "PETREL_REPLICAS", default_value_t = 1, value_parser = parse_replicas)]
    replicas: usize,
    /// Most messages that one device's inbox holds.
    #[arg(
        long,
        env = "PETREL_INBOX_MAX_MESSAGES",
        default_value_t = INBOX_MAX_MESSAGES,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    inbox_max_messages: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    log_to_stderr();
    match run(command).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "nats: {error:#}");
            TROUBLE.into()
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Diff(options) => {
            let (bus, declared) = connect(options).await?;
            let differences = reconcile::diff(&bus, &declared).await?;
            print_all(&differences)?;
            Ok(if differences.is_empty() { ExitCode::SUCCESS } else { DIFFERENT.into() })
        }
        Command::Apply(options) => {
            let (bus, declared) = connect(options).await?;
            print_all(&reconcile::apply(&bus, &declared).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Place { options, dry_run } => {
            let (bus, declared) = connect(options).await?;
            place_leaders(&bus, &declared, dry_run).await
        }
    }
}

async fn connect(options: Options) -> anyhow::Result<(Bus, Topology)> {
    let Options { nats, replicas, inbox_max_messages } = options;
    let bus = Bus::connect(&nats, "petrel nats").await?;
    let shards = bus.shards;
    Ok((bus, Topology { shards, replicas, inbox_max_messages, ..Topology::default() }))
}

async fn place_leaders(bus: &Bus, declared: &Topology, dry_run: bool) -> anyhow::Result<ExitCode> {
    for step in place::plan(bus, declared).await? {
        print_all(std::slice::from_ref(&step))?;
        if !dry_run {
            place::carry_out(bus, &step).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_all(items: &[impl std::fmt::Display]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for item in items {
        writeln!(out, "{item}").context("writing to stdout")?;
    }
    Ok(())
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,async_nats=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

fn parse_replicas(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1, or 3 in a cluster".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_usage_error(arguments: &[&str]) -> bool {
        Command::try_parse_from([&["nats"], arguments].concat())
            .is_err_and(|error| error.use_stderr())
    }

    #[test]
    fn mistakes_are_usage_errors_before_anything_is_connected() {
        for mistake in [
            &[][..],
            &["destroy"],
            &["diff", "--replicas", "2"],
            &["apply", "--shards", "0"],
            &["apply", "--inbox-max-messages", "0"],
            &["place", "--nats", "http://example.com"],
        ] {
            assert!(is_usage_error(mistake), "{mistake:?}");
        }
        assert!(!is_usage_error(&["apply", "--replicas", "3", "--shards", "64"]));
        assert!(!is_usage_error(&["place", "--dry-run"]));
        assert!(!is_usage_error(&["--help"]));
    }
}
