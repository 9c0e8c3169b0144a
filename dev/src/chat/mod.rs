//! `petrel-chat`: a small chat in a terminal, to try the system with.
//!
//! [`model`] is what is known, without I/O. Two faces show it: [`screen`] for a
//! person at a terminal, [`plain`] for a pipe, line by line.

mod app;
mod command;
mod editor;
mod group_commands;
mod layout;
mod model;
mod options;
mod plain;
mod presence;
mod rooms;
mod screen;
mod sign_in;
mod state;
mod text;
mod told;
mod transcript;
mod typing;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::{Parser as _, error::ErrorKind};

use self::{app::App, options::Options};
use crate::EX_USAGE;

/// What `petrel-chat` does; returns what to exit with.
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Nobody reads it if it cannot be printed.
            drop(error.print());
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(EX_USAGE) };
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let app = App::start(options).await?;
    if io::stdin().is_terminal() && io::stdout().is_terminal() && !options.plain {
        screen::run(app).await
    } else {
        plain::run(app).await
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("petrel-chat: {error:#}");
    ExitCode::FAILURE
}
