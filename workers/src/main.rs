//! The workers' process.

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

/// A usage error, as sysexits.h has it.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let config = match workers::Config::try_parse() {
        Ok(config) => config,
        Err(error) => {
            // Help and version are asked for, not mistakes.
            let _ = error.print();
            return if error.use_stderr() { EX_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(config: workers::Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("draining");
    };
    tokio::pin!(stop);
    let running = tokio::select! {
        running = workers::start(config) => running?,
        () = &mut stop => return Ok(()),
    };
    running.wait_until(stop).await
}
