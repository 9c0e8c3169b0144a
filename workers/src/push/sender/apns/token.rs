//! The tokens by which Apple knows a server.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use tokio::time::Instant;

use super::{Failure, KEY, SetupError};

/// Apple refuses tokens older than an hour, and new ones more often than every 20 min.
const USED: Duration = Duration::from_secs(40 * 60);
/// A token that Apple calls expired is replaced no more often than this.
const RENEWED: Duration = Duration::from_secs(20 * 60);

/// Signs a token now and then.
pub(super) struct ProviderTokens {
    header: Header,
    team: String,
    signing: EncodingKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<(String, Instant)>,
    /// When one was last replaced before its time.
    renewed: Option<Instant>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl ProviderTokens {
    pub(super) fn new(pem: &str, key_id: &str, team: &str) -> Result<Self, SetupError> {
        let signing = EncodingKey::from_ec_pem(pem.as_bytes())
            .map_err(|_| SetupError::bad(KEY, "not the .p8 file of a key"))?;
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(key_id.into());
        let tokens = Self { header, team: team.into(), signing, state: Mutex::default() };
        tokens.sign().map_err(|_| SetupError::bad(KEY, "not a key of the curve P-256"))?;
        Ok(tokens)
    }

    /// The token to use.
    pub(super) fn current(&self) -> Result<String, Failure> {
        let mut state = self.state();
        if let Some((token, since)) = &state.token
            && since.elapsed() < USED
        {
            return Ok(token.clone());
        }
        self.replace(&mut state)
    }

    /// Another token than this one, which Apple calls expired; none where it was
    /// replaced of late and so is not to blame.
    pub(super) fn renew(&self, expired: &str) -> Result<Option<String>, Failure> {
        let mut state = self.state();
        if let Some((token, _)) = &state.token
            && token != expired
        {
            return Ok(Some(token.clone()));
        }
        if state.renewed.is_some_and(|renewed| renewed.elapsed() < RENEWED) {
            return Ok(None);
        }
        state.renewed = Some(Instant::now());
        self.replace(&mut state).map(Some)
    }

    fn replace(&self, state: &mut State) -> Result<String, Failure> {
        let token = self.sign().map_err(|error| Failure::Credentials(error.to_string().into()))?;
        state.token = Some((token.clone(), Instant::now()));
        Ok(token)
    }

    fn sign(&self) -> jsonwebtoken::errors::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims { iss: &self.team, iat: now.as_secs() };
        jsonwebtoken::encode(&self.header, &claims, &self.signing)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::time::advance;

    use super::*;

    /// Made for this test.
    const P8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgG4KhdT827h2f+sgJ
pnPmeD+0U0lKpEq9DvDF8kqDpFahRANCAAQFNQ9WF49Za3MGKKgNcKYNCuXMGK9D
rzSAWC3tYvyrvpH6LNWO8FeM660ZLl/WQQAksZkIbgOVAQc7zIsFP5XW
-----END PRIVATE KEY-----
";

    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_for_40_minutes() {
        let tokens = ProviderTokens::new(P8, "ABC123DEFG", "DEF123GHIJ").unwrap();
        let first = tokens.current().unwrap();
        advance(USED - Duration::from_secs(1)).await;
        assert_eq!(tokens.current().unwrap(), first);
        advance(Duration::from_secs(1)).await;
        assert_ne!(tokens.current().unwrap(), first);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_expired_early_is_replaced_once_for_all_and_then_not_for_20_minutes() {
        let tokens = ProviderTokens::new(P8, "ABC123DEFG", "DEF123GHIJ").unwrap();
        let first = tokens.current().unwrap();
        let second = tokens.renew(&first).unwrap().unwrap();
        assert_ne!(second, first);
        assert_eq!(tokens.renew(&first).unwrap(), Some(second.clone()));
        assert_eq!(tokens.current().unwrap(), second);
        assert_eq!(tokens.renew(&second).unwrap(), None);
        advance(RENEWED).await;
        assert!(tokens.renew(&second).unwrap().is_some_and(|third| third != second));
    }

    #[test]
    fn what_is_no_p8_is_refused_at_the_start() {
        for wrong in ["", "key", &P8.replace("MIGHAgEA", "AAAAAAAA")] {
            assert!(ProviderTokens::new(wrong, "ABC123DEFG", "DEF123GHIJ").is_err(), "{wrong}");
        }
    }
}
