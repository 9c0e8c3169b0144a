//! What is remembered of a device from one session to the next.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use schemas::{DeviceId, UserId, http};
use serde::{Deserialize, Serialize};
use tempfile::Builder;

use crate::client::{Api, Saved};

/// The remembered device. Its file is its owner's alone: it holds a token.
#[derive(Debug, Clone)]
pub(super) struct StateFile(PathBuf);

/// What the file holds.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) refresh_token: String,
    #[serde(default)]
    pub(super) saved: Saved,
    /// Whom this user has talked to, so that they can be written to offline.
    #[serde(default)]
    pub(super) people: BTreeMap<String, UserId>,
}

impl State {
    /// A session that starts with renewing its token.
    pub(super) fn tokens(&self) -> http::Session {
        http::Session {
            user: self.user,
            device: self.device,
            access_token: String::new(),
            expires_in: 0,
            refresh_token: self.refresh_token.clone(),
        }
    }
}

impl StateFile {
    /// The given file, or the one for this user at this server in the user's
    /// configuration folder.
    ///
    /// # Errors
    /// When there is no such folder.
    pub(super) fn of(given: Option<&Path>, user: &str, api: &Api) -> anyhow::Result<Self> {
        if let Some(path) = given {
            return Ok(Self(path.to_owned()));
        }
        let folder = env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| env::home_dir().map(|home| home.join(".config")))
            .context("no configuration folder: set XDG_CONFIG_HOME, or give --state")?;
        let base = api.base();
        let server = format!(
            "{}-{}",
            base.host_str().unwrap_or_default(),
            base.port_or_known_default().unwrap_or_default()
        );
        let name = format!("chat-{}-{}.json", file_safe(user), file_safe(&server));
        Ok(Self(folder.join("petrel").join(name)))
    }

    /// What was remembered, if anything.
    ///
    /// # Errors
    /// When the file cannot be read, or is not ours.
    pub(super) fn load(&self) -> anyhow::Result<Option<State>> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("cannot read {}", self.0.display())),
        };
        let state = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a chat's state", self.0.display()))?;
        Ok(Some(state))
    }

    /// Remembers, in one step: never half a file, and readable by its owner
    /// alone (a temporary file is, from its beginning on).
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn save(&self, state: &State) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", self.0.display());
        let folder = self.0.parent().filter(|path| !path.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(failed)?;
        let mut file = Builder::new().prefix(".chat").tempfile_in(folder).with_context(failed)?;
        serde_json::to_writer(&mut file, state)?;
        file.flush().with_context(failed)?;
        file.persist(&self.0).with_context(failed)?;
        Ok(())
    }
}

/// A name without what means something in a path.
fn file_safe(name: &str) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    name.chars().map(|letter| if safe(letter) { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/state.json");
        let api = Api::new("http://localhost:1").unwrap();
        let file = StateFile::of(Some(&path), "alice", &api).unwrap();
        assert!(file.load().unwrap().is_none());

        let state = State {
            user: UserId::mint(),
            device: DeviceId::mint(),
            refresh_token: "secret".into(),
            saved: Saved { receipts_after: 7, ..Saved::default() },
            people: BTreeMap::from([("bob".into(), UserId::mint())]),
        };
        file.save(&state).unwrap();
        file.save(&state).unwrap();
        let loaded = file.load().unwrap().unwrap();
        assert_eq!((loaded.user, loaded.device), (state.user, state.device));
        assert_eq!((loaded.refresh_token, loaded.saved), (state.refresh_token, state.saved));
        assert_eq!(loaded.people, state.people);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left over"
        );

        fs::write(&path, "{}").unwrap();
        assert!(file.load().is_err());
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        assert_eq!(file_safe("../a/b@c"), ".._a_b_c");
    }
}
