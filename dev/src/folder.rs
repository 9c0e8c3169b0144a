//! Where a stack keeps its data: a given folder, or one that goes with it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::StartError;

/// Locked by the process that uses the folder.
const LOCK: &str = "lock";

/// A folder in use by this process alone.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    temporary: bool,
    _lock: File,
}

impl Folder {
    /// Takes a folder that is kept, making it if need be.
    ///
    /// # Errors
    /// [`StartError::Folder`] if it cannot be made, or another process uses it.
    pub(crate) fn keep(path: &Path) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::folder(path, error);
        fs::create_dir_all(path).map_err(failed)?;
        // nats-server must find it from wherever it runs.
        let path = path.canonicalize().map_err(failed)?;
        let lock = File::create(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, temporary: false, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(StartError::folder(path, "in use by another stack"))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Makes a folder that is removed with the stack; if this process is killed,
    /// the next one that makes one removes it.
    ///
    /// # Errors
    /// [`StartError::Folder`] if it cannot be made.
    pub(crate) fn temporary() -> Result<Self, StartError> {
        let uid = rustix::process::getuid().as_raw();
        Self::temporary_in(&std::env::temp_dir().join(format!("petrel-dev-{uid}")))
    }

    fn temporary_in(all: &Path) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::folder(all, error);
        fs::create_dir_all(all).map_err(failed)?;
        // Nobody sweeps between the making of a folder and its locking.
        let sweeping = File::create(all.join(LOCK)).map_err(failed)?;
        sweeping.lock().map_err(failed)?;
        sweep(all).map_err(failed)?;
        let path =
            tempfile::Builder::new().prefix("stack-").tempdir_in(all).map_err(failed)?.keep();
        let mut folder = Self::keep(&path)?;
        folder.temporary = true;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "temporary folder not removed");
        }
    }
}

/// Removes what processes that were killed have left.
fn sweep(all: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all)? {
        let path = entry?.path();
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::debug!(folder = %path.display(), %error, "left-over folder not removed");
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = Folder::keep(&path).unwrap();
        let second = Folder::keep(&path).map(drop);
        assert!(matches!(second, Err(StartError::Folder { .. })), "{second:?}");
        drop(first);
        Folder::keep(&path).unwrap();
    }

    #[test]
    fn a_temporary_folder_goes_with_its_user_or_at_the_next_start() {
        let parent = tempfile::tempdir().unwrap();
        let used = Folder::temporary_in(parent.path()).unwrap();
        let killed = parent.path().join("stack-killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(LOCK), "").unwrap();

        let next = Folder::temporary_in(parent.path()).unwrap();
        assert!(!killed.exists(), "nobody uses it");
        assert!(used.path().exists(), "it is in use");
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }
}
