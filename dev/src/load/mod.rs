//! `petrel-load`: how fast, how cheap, and whether nothing is lost on the way.
//!
//! People are made for the run, talk in pairs, and check what they get while
//! they measure: [`check`] is what they know of each other's messages.

mod backlog;
mod check;
mod groups;
mod idle;
mod latency;
mod media;
mod options;
mod pace;
mod people;
mod person;
mod presence;
mod process;
mod progress;
mod push;
mod reconnect;
mod report;
mod run;
mod target;
mod traffic;
mod wire;
mod writes;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser as _, error::ErrorKind};

use self::{
    options::{Command, Options},
    report::Report,
    target::Target,
};
use crate::{EX_USAGE, push_receiver::PushReceiver};

/// What `petrel-load` does; returns what to exit with. A run that found
/// something lost, doubled or out of order fails.
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
    if let Err(usage) = options.check() {
        eprintln!("petrel-load: {usage}");
        return ExitCode::from(EX_USAGE);
    }
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("petrel-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints the report; whether all was well.
fn run(options: Options) -> anyhow::Result<bool> {
    // Before the stack starts: its processes need as many files.
    process::raise_file_limit()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(measure(&options))?;
    let mut out = io::stdout().lock();
    if options.target.json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(report.is_well())
}

async fn measure(options: &Options) -> anyhow::Result<Report> {
    // The workers of a stack are told at their start where to push.
    let receiver = match &options.command {
        Command::Push(_) => Some(PushReceiver::trusting().await?),
        _ => None,
    };
    let mut settings = options.command.settings();
    settings.extend(receiver.iter().flat_map(PushReceiver::settings));
    let target = Target::prepare(&options.target, &settings).await?;
    let environment = target.environment().await;
    let outcome = match &options.command {
        Command::Traffic(traffic) => traffic::run(&target, traffic).await?.into(),
        Command::Groups(groups) => Box::new(groups::run(&target, groups).await?).into(),
        Command::Idle(idle) => idle::run(&target, idle).await?.into(),
        Command::Presence(presence) => presence::run(&target, presence).await?.into(),
        Command::Reconnect(reconnect) => reconnect::run(&target, reconnect).await?.into(),
        Command::Backlog(backlog) => backlog::run(&target, backlog).await?.into(),
        Command::Media(media) => Box::new(media::run(&target, media).await?).into(),
        Command::Push(push) => {
            let receiver = receiver.as_ref().context("nobody receives pushes")?;
            push::run(&target, receiver, push).await?.into()
        }
    };
    target.stop().await;
    Ok(Report { environment, outcome })
}
