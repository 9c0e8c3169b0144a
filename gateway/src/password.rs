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
    /// What a login with an unknown name is checked against, so that it takes
    /// as long as one with a known name.
    decoy: PasswordHash,
}

/// The hasher failed; not the caller's fault.
#[derive(Debug, thiserror::Error)]
#[error("hashing a password failed: {0}")]
pub(crate) struct HashError(String);

impl Passwords {
    /// Hashes with this much memory (KiB) and this many passes.
    ///
    /// # Errors
    /// Where argon2 does not take these parameters.
    pub(crate) fn new(memory_kib: u32, passes: u32) -> Result<Self, HashError> {
        let params = Params::new(memory_kib, passes, Params::DEFAULT_P_COST, None)
            .map_err(|error| HashError(error.to_string()))?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let decoy = hash(&hasher, b"nobody's")?;
        Ok(Self { hasher, permits: Arc::new(Semaphore::new(cores)), decoy })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`HashError`] where the hasher fails.
    pub(crate) async fn hash(&self, password: String) -> Result<PasswordHash, HashError> {
        self.run(move |hasher| hash(hasher, password.as_bytes())).await?
    }

    /// Whether the password is the one that was hashed; nobody's where there is
    /// no such user.
    ///
    /// # Errors
    /// [`HashError`] where the hasher fails.
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let matches = self
            .run(move |hasher| {
                let phc = Phc::new(hash.as_str()).map_err(|error| HashError(error.to_string()))?;
                Ok::<_, HashError>(hasher.verify_password(password.as_bytes(), &phc).is_ok())
            })
            .await??;
        Ok(known && matches)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let failed = |error: &dyn std::fmt::Display| HashError(error.to_string());
        let _permit = self.permits.acquire().await.map_err(|error| failed(&error))?;
        let hasher = self.hasher.clone();
        tokio::task::spawn_blocking(move || work(&hasher)).await.map_err(|error| failed(&error))
    }
}

fn hash(hasher: &Argon2<'_>, password: &[u8]) -> Result<PasswordHash, HashError> {
    let phc = hasher.hash_password(password).map_err(|error| HashError(error.to_string()))?;
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
}
