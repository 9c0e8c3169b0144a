//! The same bytes into the same folder without a Petrel: what the disk and the
//! file system take by themselves.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;

use super::{
    contents::{CHUNK, Contents},
    files_of,
};
use crate::load::{options::Media, progress};

/// How long the plain copy took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copied {
    /// Writing, each file on the disk before the next is begun.
    pub(super) writing: Duration,
    /// Reading and comparing.
    pub(super) reading: Duration,
}

/// Writes and reads all files in a folder of their own below this one, a thread
/// for each person; the files are removed then.
///
/// # Errors
/// When a file cannot be written or comes back otherwise.
pub(super) async fn copy(folder: &Path, options: &Media, seed: u64) -> anyhow::Result<Copied> {
    let spinner = progress::spinner("copying");
    let folder = tempfile::tempdir_in(folder).context("no folder for a plain copy")?;
    let (path, options) = (folder.path().to_owned(), options.clone());
    let started = Instant::now();
    for_each(&path, &options, seed, write).await?;
    let writing = started.elapsed();
    let started = Instant::now();
    for_each(&path, &options, seed, read).await?;
    let reading = started.elapsed();
    tokio::task::spawn_blocking(move || folder.close()).await??;
    spinner.finish_and_clear();
    Ok(Copied { writing, reading })
}

async fn for_each(
    folder: &Path,
    options: &Media,
    seed: u64,
    work: fn(PathBuf, Contents) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut people = JoinSet::new();
    for person in 0..options.people {
        let (folder, options) = (folder.to_owned(), options.clone());
        people.spawn_blocking(move || {
            files_of(person, &options, seed).try_for_each(|contents| {
                work(folder.join(format!("{:016x}", contents.seed)), contents)
            })
        });
    }
    while let Some(joined) = people.join_next().await {
        joined?.context("the plain copy failed")?;
    }
    Ok(())
}

fn write(path: PathBuf, contents: Contents) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let (mut buffer, mut next) = (vec![0; CHUNK], 0);
    while next < contents.size {
        let count = usize::try_from(contents.size - next).unwrap_or(CHUNK).min(CHUNK);
        contents.fill(next, &mut buffer[..count]);
        file.write_all(&buffer[..count])?;
        next += count as u64;
    }
    file.sync_all()?;
    Ok(())
}

fn read(path: PathBuf, contents: Contents) -> anyhow::Result<()> {
    let mut file = File::open(path)?;
    let (mut buffer, mut incoming) = (vec![0; CHUNK], contents.compare());
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => incoming.take(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(incoming.is_whole(), "a file came back otherwise than it was written");
    Ok(())
}
