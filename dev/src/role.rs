//! Plays a gateway or a worker in this process, until SIGTERM.

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{enter::EX_USAGE, log, stack::Announcement};

/// A gateway.
pub(crate) fn gateway(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    play(arguments, async |config, stop| {
        let starting = stop.run_until_cancelled(gateway::start(config)).await;
        let Some(running) = starting.transpose()? else { return Ok(()) };
        Announcement::gateway(running.addr, running.admin_addr).print()?;
        running.wait_until(stop.cancelled()).await
    })
}

/// A worker.
pub(crate) fn worker(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    play(arguments, async |config, stop| {
        let starting = stop.run_until_cancelled(workers::start(config)).await;
        let Some(running) = starting.transpose()? else { return Ok(()) };
        Announcement::worker(running.admin_addr).print()?;
        running.wait_until(stop.cancelled()).await
    })
}

/// Runs a role with its configuration and a token that SIGTERM cancels.
fn play<Config: Parser>(
    arguments: impl Iterator<Item = OsString>,
    role: impl AsyncFnOnce(Config, CancellationToken) -> anyhow::Result<()>,
) -> ExitCode {
    let config =
        match Config::try_parse_from([OsString::from("petrel")].into_iter().chain(arguments)) {
            Ok(config) => config,
            Err(error) => {
                // The parent shows it, if it still can.
                drop(error.print());
                return ExitCode::from(EX_USAGE);
            }
        };
    log::init_role();
    let played = Runtime::new().map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            let stop = CancellationToken::new();
            let mut terminate = signal(SignalKind::terminate())?;
            let stopper = stop.clone();
            tokio::spawn(async move {
                terminate.recv().await;
                stopper.cancel();
            });
            role(config, stop).await
        })
    });
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
