//! What is kept with a stack's data: the keys that sign tokens and pushes, made
//! at the first start, and for what shape of cluster the data was written.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL},
};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::StartError;

/// A key's length, before it is written in base64.
const KEY_BYTES: usize = 32;

/// What cannot change once there is data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) nats_nodes: usize,
    pub(super) shards: u32,
}

/// The signing key in this folder, which nobody but its owner can read.
pub(super) fn signing_key(folder: &Path) -> Result<String, StartError> {
    read_or_write(&folder.join("signing.key"), || BASE64.encode(random_key()))
        .map_err(|error| StartError::folder(folder, error))
}

/// The private key of web push in this folder, as private as the other. Of
/// random bytes one in four thousand million is no key of the curve.
pub(super) fn vapid_key(folder: &Path) -> Result<String, StartError> {
    read_or_write(&folder.join("vapid.key"), || BASE64URL.encode(random_key()))
        .map_err(|error| StartError::folder(folder, error))
}

/// Refuses a folder with data of another shape.
pub(super) fn check_shape(folder: &Path, wanted: Shape) -> Result<(), StartError> {
    let failed = |error: io::Error| StartError::folder(folder, error);
    let wanted_text = serde_json::to_string(&wanted).map_err(io::Error::from).map_err(failed)?;
    let found = read_or_write(&folder.join("shape.json"), || wanted_text).map_err(failed)?;
    let found: Shape = serde_json::from_str(&found).map_err(io::Error::from).map_err(failed)?;
    if found == wanted {
        return Ok(());
    }
    let Shape { nats_nodes, shards } = found;
    let reason = format!("its data was written by {nats_nodes} nats-servers with {shards} shards");
    Err(StartError::folder(folder, reason))
}

fn read_or_write(path: &Path, make: impl FnOnce() -> String) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(kept) => Ok(kept.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = make();
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            options.open(path)?.write_all(made.as_bytes())?;
            Ok(made)
        }
        Err(error) => Err(error),
    }
}

fn random_key() -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let (signing, vapid) =
            (signing_key(folder.path()).unwrap(), vapid_key(folder.path()).unwrap());
        assert_eq!(BASE64.decode(&signing).unwrap().len(), KEY_BYTES);
        assert_eq!(BASE64URL.decode(&vapid).unwrap().len(), KEY_BYTES);
        assert_eq!(signing_key(folder.path()).unwrap(), signing);
        assert_eq!(vapid_key(folder.path()).unwrap(), vapid);
        assert_ne!(random_key(), random_key());
        for file in ["signing.key", "vapid.key"] {
            let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn data_of_another_shape_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape { nats_nodes: 1, shards: 8 };
        check_shape(folder.path(), shape).unwrap();
        check_shape(folder.path(), shape).unwrap();
        for other in [Shape { nats_nodes: 3, ..shape }, Shape { shards: 4, ..shape }] {
            let refused = check_shape(folder.path(), other).unwrap_err().to_string();
            assert!(refused.contains("1 nats-servers with 8 shards"), "{refused}");
        }
    }
}
