//! Where a process that plays a part begins.

use std::{
    env,
    ffi::OsString,
    os::unix::process::{CommandExt as _, parent_id},
    process::{Command, ExitCode},
};

use crate::{
    program::{PARENT_PID, PART, mark_entered},
    role,
};

/// What a usage error exits with (sysexits.h).
pub const EX_USAGE: u8 = 64;

/// To be called first in the `main` of every binary that starts a stack: such
/// a binary re-executes itself for each part. Returns what to exit with if
/// this process is a part and has played it.
pub fn enter() -> Option<ExitCode> {
    mark_entered();
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != PART {
        return None;
    }
    if let Err(error) = die_with_parent() {
        return Some(failed(&error));
    }
    let part = arguments.next().unwrap_or_default();
    Some(match part.to_str() {
        Some("exec") => exec(arguments),
        Some("gateway") => role::gateway(arguments),
        Some("worker") => role::worker(arguments),
        _ => {
            eprintln!("{} is no part of a stack", part.display());
            ExitCode::from(EX_USAGE)
        }
    })
}

/// A stack whose parent was killed must leave nothing running.
fn die_with_parent() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let parent = env::var(PARENT_PID).ok().and_then(|pid| pid.parse().ok());
    if parent == Some(parent_id()) {
        Ok(())
    } else {
        // It died before the line above, which then came too late.
        Err(std::io::Error::other("a part is started by a stack, and that one is gone"))
    }
}

/// Becomes another program; the parent-death signal stays set.
fn exec(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = arguments.next() else {
        eprintln!("exec: no program given");
        return ExitCode::from(EX_USAGE);
    };
    failed(&Command::new(program).args(arguments).exec())
}

fn failed(error: &std::io::Error) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
