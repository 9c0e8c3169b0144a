//! Passwords: argon2id (RFC 9106), away from the async threads.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash as Phc,
};
use store::PasswordHash;
use tokio::sync::Semaphore;

/// Makes and checks password hashes, as many at once as there are cores: each
/// takes memory and a whole core.
#[derive(Clone)]
pub(crate) struct Passwords {
    hasher: Argon2<'static>,
    permits: Arc<Semaphore>,
    /// For those who wait for one of these, too.
    waiting: Arc<Semaphore>,
    /// What a login with an unknown name is checked against, so that it takes
    /// as long as one with a known name.
    decoy: PasswordHash,
}

/// Not the caller's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// The hasher failed.
    #[error("hashing a password failed: {0}")]
    Failed(String),
    /// Too many wait for it.
    #[error("too many passwords are being hashed")]
    Busy,
}

/// Most passwords that are hashed or wait for it. With the parameters as they
/// come, a core does some fifty a second.
const WAITING: usize = 256;

impl Passwords {
    /// Hashes with this much memory (KiB) and this many passes.
    ///
    /// # Errors
    /// Where argon2 does not take these parameters.
    pub(crate) fn new(memory_kib: u32, passes: u32) -> Result<Self, HashError> {
        let params = Params::new(memory_kib, passes, Params::DEFAULT_P_COST, None)
            .map_err(|error| HashError::Failed(error.to_string()))?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let decoy = hash(&hasher, b"nobody's")?;
        let (permits, waiting) = (Semaphore::new(cores), Semaphore::new(WAITING));
        Ok(Self { hasher, permits: Arc::new(permits), waiting: Arc::new(waiting), decoy })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`HashError`].
    pub(crate) async fn hash(&self, password: String) -> Result<PasswordHash, HashError> {
        self.run(move |hasher| hash(hasher, password.as_bytes())).await?
    }

    /// Whether the password is the one that was hashed; nobody's where there is
    /// no such user.
    ///
    /// # Errors
    /// [`HashError`].
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let matches = self
            .run(move |hasher| {
                let phc = Phc::new(hash.as_str())
                    .map_err(|error| HashError::Failed(error.to_string()))?;
                Ok::<_, HashError>(hasher.verify_password(password.as_bytes(), &phc).is_ok())
            })
            .await??;
        Ok(known && matches)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let failed = |error: &dyn std::fmt::Display| HashError::Failed(error.to_string());
        let _place = self.waiting.try_acquire().map_err(|_| HashError::Busy)?;
        let _permit = self.permits.acquire().await.map_err(|error| failed(&error))?;
        let hasher = self.hasher.clone();
        tokio::task::spawn_blocking(move || work(&hasher)).await.map_err(|error| failed(&error))
    }
}

fn hash(hasher: &Argon2<'_>, password: &[u8]) -> Result<PasswordHash, HashError> {
    let phc =
        hasher.hash_password(password).map_err(|error| HashError::Failed(error.to_string()))?;
    Ok(PasswordHash::new(phc.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn only_the_same_password_matches() {
        let passwords = Passwords::new(8, 1).unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("battery".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody's".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_who_wait() {
        let passwords = Passwords::new(8, 1).unwrap();
        let cores = u32::try_from(passwords.permits.available_permits()).unwrap();
        let working = Arc::clone(&passwords.permits).acquire_many_owned(cores).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..=WAITING {
            let passwords = passwords.clone();
            waiting.spawn(async move { passwords.hash("correct horse".into()).await });
        }
        // The others wait, so this is the one too many.
        let first = waiting.join_next().await.unwrap().unwrap();
        assert!(matches!(first, Err(HashError::Busy)));
        drop(working);
        assert!(waiting.join_all().await.iter().all(Result::is_ok));
    }
}
