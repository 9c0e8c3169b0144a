//! The binary that plays every part: the dev binary re-executes itself.

use std::{
    env,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::StartError;

/// First argument of a process that plays one part of a stack.
pub(crate) const PART: &str = "part";

/// Tells a part whose child it is, so that it can see a parent that died
/// before the part could ask to be told.
pub(crate) const PARENT_PID: &str = "PETREL_DEV_PARENT_PID";

/// Whether this process's `main` began with [`crate::enter`].
static ENTERED: AtomicBool = AtomicBool::new(false);

/// A binary whose `main` begins with [`crate::enter`], and which therefore can
/// be started again as a gateway, as a worker or as a guard around nats-server.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// The binary at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// This very binary if it can play parts, or else the dev binary that cargo
    /// built for the integration test that is running.
    ///
    /// # Errors
    /// [`StartError::NoProgram`] if there is neither.
    pub fn find() -> Result<Self, StartError> {
        if env::var_os(PARENT_PID).is_some() {
            // A test binary mistaken for one that plays parts would run its tests
            // again as each part, and these would start stacks, without end.
            return Err(StartError::NoProgram);
        }
        if ENTERED.load(Ordering::Relaxed) {
            return Ok(Self(this_binary()?));
        }
        env::var_os("CARGO_BIN_EXE_dev").map(|path| Self(path.into())).ok_or(StartError::NoProgram)
    }

    /// A command that plays `part` under the name `name`.
    pub(crate) fn play(&self, part: &str, name: &str) -> Command {
        let mut command = Command::new(&self.0);
        command
            .arg0(format!("petrel-{name}"))
            .args([PART, part])
            .env(PARENT_PID, process::id().to_string());
        command
    }

    /// A command that becomes the program at `path`, but dies with this process.
    pub(crate) fn guard(&self, path: &Path, name: &str) -> Command {
        let mut command = self.play("exec", name);
        command.arg(path);
        command
    }
}

pub(crate) fn mark_entered() {
    ENTERED.store(true, Ordering::Relaxed);
}

/// Linux reaches the running binary by this name even after a build has put
/// another in its place, so parts that restart are of the same version.
#[cfg(target_os = "linux")]
fn this_binary() -> Result<PathBuf, StartError> {
    Ok("/proc/self/exe".into())
}

#[cfg(not(target_os = "linux"))]
fn this_binary() -> Result<PathBuf, StartError> {
    env::current_exe().map_err(|error| StartError::Spawn { name: "dev".into(), error })
}
