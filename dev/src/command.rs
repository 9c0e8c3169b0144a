//! `cargo dev`: the whole system, until Ctrl-C.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, ValueEnum, error::ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};
use store::DirectoryOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{EX_USAGE, Stack, StackBuilder, log, supervisor::supervise};

/// What may still run when all is stopped is at most a wait for a file lock.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(100);

/// Runs all of Petrel on this machine: nats-servers, gateways and workers.
///
/// Prints a line `petrel ready http://ADDR` for each gateway once it serves;
/// logs go to stderr. A process that dies is started again. Ctrl-C stops all of
/// it, a second Ctrl-C kills it.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo dev", version)]
struct Options {
    /// Where the first gateway serves; the others take the ports that follow.
    /// With port 0 each takes a free one
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))]
    listen: SocketAddr,

    /// Keeps all data in this folder; without it, data goes with the process
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// How many gateways
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    gateways: u8,

    /// How many nats-servers; three are a cluster that keeps three copies
    #[arg(long, value_name = "N", value_enum, default_value_t)]
    nats_nodes: NatsNodes,

    #[command(flatten)]
    directory: DirectoryOptions,

    /// Whether gateways limit how fast a client may be
    #[arg(long, value_name = "on|off", value_enum, default_value_t)]
    limits: Limits,

    /// Lets browsers' push endpoints be on this machine, without TLS: for
    /// whoever tries push with a receiver of their own
    #[arg(long)]
    push_allow_loopback: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum NatsNodes {
    #[default]
    #[value(name = "1")]
    One,
    #[value(name = "3")]
    Three,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Limits {
    #[default]
    On,
    Off,
}

/// What `cargo dev` does; returns what to exit with.
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return explain(&error),
    };
    log::init_supervisor();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(run(options));
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    result.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

/// Asked-for help is no error; anything else clap has to say is one of usage.
fn explain(error: &clap::Error) -> ExitCode {
    // Nobody reads it if it cannot be printed.
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(EX_USAGE),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::FAILURE
}

async fn run(options: Options) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen()?;
    let place = if options.directory.is_mongodb() { "MongoDB" } else { "NATS" };
    tracing::info!("users and groups are in {place}");
    let stack = tokio::select! {
        stack = options.stack().start() => stack?,
        () = stop.next() => return Ok(()),
    };
    for gateway in stack.gateways() {
        writeln!(io::stdout(), "petrel ready {}", gateway.url())?;
    }
    tokio::select! {
        () = supervise(&stack) => {}
        () = stop.next() => {}
    }
    tracing::info!("stopping; Ctrl-C again kills");
    tokio::select! {
        () = stack.stop() => tracing::info!("stopped"),
        () = stop.next() => tracing::warn!("killed"),
    }
    Ok(())
}

impl Options {
    fn stack(self) -> StackBuilder {
        let nodes = match self.nats_nodes {
            NatsNodes::One => 1,
            NatsNodes::Three => 3,
        };
        let stack = Stack::builder()
            .listen(self.listen)
            .gateways(self.gateways.into())
            .nats_nodes(nodes)
            .directory(self.directory)
            .limits(self.limits == Limits::On)
            .progress(progress())
            .log(log::terse_stderr());
        let stack = if self.push_allow_loopback {
            stack.env("PETREL_PUSH_ALLOW_LOOPBACK", "true")
        } else {
            stack
        };
        match self.data {
            Some(folder) => stack.data(folder),
            None => stack,
        }
    }
}

/// A line on stderr that moves while something is fetched.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// Ctrl-C, or SIGTERM.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
