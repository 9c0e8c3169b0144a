//! An upload on its way into a folder: a file that grows, and becomes the
//! object when it is complete.
//!
//! Its sender holds a lock on it, also against those of other gateways. A file
//! may be removed between the moments when it is opened and locked: then it is
//! not what is at its path any more, and is let go of.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tokio::{io::AsyncWriteExt as _, task::spawn_blocking};

use super::{Begin, ReceiveError};
use crate::objects::ObjectError;

/// How often a file is opened that others remove at that moment.
const OPENINGS: usize = 5;

/// The file, locked.
pub(super) struct FileGrowing {
    file: tokio::fs::File,
    path: PathBuf,
    /// Where the object will be.
    target: PathBuf,
    length: u64,
}

/// How long the file is; 0 where there is none.
pub(super) async fn length(path: PathBuf) -> Result<u64, ObjectError> {
    match tokio::fs::metadata(path).await {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(unavailable(error)),
    }
}

/// Removes the file if it is there. Whoever has it open finds that out when
/// they want to complete it.
pub(super) async fn remove(path: PathBuf) -> Result<(), ObjectError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unavailable(error)),
        _ => Ok(()),
    }
}

impl FileGrowing {
    /// Opens and locks the file of an upload of that size.
    pub(super) async fn open(
        path: PathBuf,
        target: PathBuf,
        size: u64,
        begin: Begin,
    ) -> Result<Self, ReceiveError> {
        let open = move || {
            let (file, length) = open(&path, size, begin)?;
            Ok(Self { file: tokio::fs::File::from_std(file), path, target, length })
        };
        blocking(open).await?
    }

    /// How long it is.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        self.file.write_all(bytes).await.map_err(unavailable)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// What stays: all of it.
    pub(super) async fn pause(mut self) -> Result<u64, ObjectError> {
        self.sync().await?;
        Ok(self.length)
    }

    /// The object is another name of the file, so that a repetition finds both,
    /// whenever this one was interrupted.
    pub(super) async fn complete(mut self) -> Result<Self, ObjectError> {
        self.sync().await?;
        let link = move || {
            let file = self.file.try_into_std();
            let file = file.map_err(|_| io::Error::other("the file is still being written"))?;
            link(&file, &self.path, &self.target)?;
            Ok(Self { file: tokio::fs::File::from_std(file), ..self })
        };
        blocking(link).await?.map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ObjectError::NotFound,
            _ => unavailable(error),
        })
    }

    /// The lock ends after the file.
    pub(super) async fn remove(self) -> Result<(), ObjectError> {
        remove(self.path).await
    }

    /// What was taken survives a power cut.
    async fn sync(&mut self) -> Result<(), ObjectError> {
        self.file.flush().await.map_err(unavailable)?;
        self.file.sync_all().await.map_err(unavailable)
    }
}

fn open(path: &Path, size: u64, begin: Begin) -> Result<(File, u64), ReceiveError> {
    let failed = |error| ReceiveError::Object(unavailable(error));
    for _ in 0..OPENINGS {
        let mut file = match open_or_make(path, begin) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReceiveError::Elsewhere(0));
            }
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ReceiveError::Busy),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if !is_at(&file, path).map_err(failed)? {
            continue;
        }
        let mut length = file.metadata().map_err(failed)?.len();
        match begin {
            // One that is complete may be an object already.
            Begin::Anew if length != size => {
                file.set_len(0).map_err(failed)?;
                length = 0;
            }
            Begin::Anew => {}
            Begin::At(offset) if offset == length => {}
            Begin::At(_) => return Err(ReceiveError::Elsewhere(length)),
        }
        file.seek(SeekFrom::Start(length)).map_err(failed)?;
        return Ok((file, length));
    }
    Err(ReceiveError::Busy)
}

/// Only who begins at the first byte makes a file.
fn open_or_make(path: &Path, begin: Begin) -> io::Result<File> {
    let makes = matches!(begin, Begin::Anew | Begin::At(0));
    if makes && let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create(makes).truncate(false).open(path)
}

/// Whether the file is the one at that path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (open, found) = (file.metadata()?, fs::metadata(path));
    match found {
        Ok(found) => Ok((open.dev(), open.ino()) == (found.dev(), found.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn link(file: &File, path: &Path, target: &Path) -> io::Result<()> {
    if !is_at(file, path)? {
        return Err(io::ErrorKind::NotFound.into());
    }
    let folder = target.parent().unwrap_or(target);
    fs::create_dir_all(folder)?;
    match fs::hard_link(path, target) {
        // An earlier try was interrupted.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_at(file, target)? => {}
        linked => linked?,
    }
    File::open(folder)?.sync_all()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ObjectError> {
    spawn_blocking(work).await.map_err(|error| unavailable(io::Error::other(error)))
}

fn unavailable(error: io::Error) -> ObjectError {
    let source = error.into();
    ObjectError::Unavailable(object_store::Error::Generic { store: "folder", source })
}
