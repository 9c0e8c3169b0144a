//! Google's access tokens: a signed assertion buys one for an hour (RFC 7523).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use super::{
    CREDENTIALS, Failure, SetupError,
    client::{self, retry_after},
};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// As `application/x-www-form-urlencoded` has it.
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
/// How long an assertion is good for; Google takes no more.
const VALID: Duration = Duration::from_secs(60 * 60);
/// A token is renewed when it has no more than this left.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// A token that FCM refuses before its time is replaced no more often than this.
const REPLACED: Duration = Duration::from_secs(60);
/// How long a failure to get one stands for all who ask.
const PAUSE: Duration = Duration::from_secs(5);
/// Of whatever Google says: it is asked again by then.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A service account, as Google's console hands it out.
#[derive(Deserialize)]
pub(super) struct Account {
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

impl Account {
    pub(super) fn parse(text: &str) -> Result<Self, SetupError> {
        // What serde says could quote the key.
        let account: Self = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            SetupError::bad(CREDENTIALS, format!("not the file of a service account: {place}"))
        })?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-:.".contains(c);
        if account.project_id.is_empty() || !account.project_id.chars().all(plain) {
            return Err(SetupError::bad(CREDENTIALS, "project_id is none"));
        }
        Ok(account)
    }

    pub(super) fn project(&self) -> &str {
        &self.project_id
    }

    pub(super) fn secret(&self) -> &[u8] {
        self.private_key.as_bytes()
    }
}

/// Access tokens of one account. Many may ask at once; one of them fetches.
pub(super) struct AccessTokens {
    client: Client,
    uri: String,
    email: String,
    header: Header,
    signing: EncodingKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failed: Option<(Failure, Instant)>,
    /// When one was last replaced before its time.
    replaced: Option<Instant>,
}

struct Token {
    bearer: String,
    expires: Instant,
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl AccessTokens {
    pub(super) fn new(client: Client, account: Account) -> Result<Self, SetupError> {
        let signing = EncodingKey::from_rsa_pem(account.private_key.as_bytes())
            .map_err(|_| SetupError::bad(CREDENTIALS, "private_key is none of RSA"))?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(account.private_key_id);
        let uri = Url::parse(&account.token_uri)
            .map_err(|_| SetupError::bad(CREDENTIALS, "token_uri is no URL"))?;
        let uri = client::base(CREDENTIALS, &uri)?;
        let tokens = Self {
            client,
            uri,
            email: account.client_email,
            header,
            signing,
            state: Mutex::default(),
        };
        tokens.assertion().map_err(|_| SetupError::bad(CREDENTIALS, "private_key cannot sign"))?;
        Ok(tokens)
    }

    /// A token that is good for some minutes at least, or for as long as there is
    /// one while no other can be got.
    pub(super) async fn current(&self) -> Result<String, Failure> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let left = |token: &Token| token.expires.saturating_duration_since(now);
        let usable = state.token.as_ref().filter(|token| !left(token).is_zero());
        if let Some(token) = usable.filter(|token| left(token) > EARLY) {
            return Ok(token.bearer.clone());
        }
        let usable = usable.map(|token| token.bearer.clone());
        if let Some((failure, at)) = &state.failed
            && now.duration_since(*at) < PAUSE
        {
            return usable.ok_or_else(|| failure.clone());
        }
        match self.fetch().await {
            Ok(token) => {
                let bearer = token.bearer.clone();
                state.token = Some(token);
                state.failed = None;
                Ok(bearer)
            }
            Err(failure) => {
                state.failed = Some((failure.clone(), Instant::now()));
                usable.ok_or(failure)
            }
        }
    }

    /// Another token than this one, which FCM refuses; none where it was replaced of
    /// late and so is not to blame.
    pub(super) async fn renew(&self, refused: &str) -> Result<Option<String>, Failure> {
        {
            let mut state = self.state.lock().await;
            if state.token.as_ref().is_some_and(|token| token.bearer == refused) {
                if state.replaced.is_some_and(|replaced| replaced.elapsed() < REPLACED) {
                    return Ok(None);
                }
                state.replaced = Some(Instant::now());
                state.token = None;
            }
        }
        self.current().await.map(Some)
    }

    async fn fetch(&self) -> Result<Token, Failure> {
        let assertion =
            self.assertion().map_err(|error| Failure::Credentials(error.to_string().into()))?;
        let asked = Instant::now();
        let answer = self
            .client
            .post(&self.uri)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("grant_type={GRANT}&assertion={assertion}"))
            .send()
            .await?;
        let status = answer.status();
        let wait = retry_after(answer.headers(), SystemTime::now());
        let reason = format!("{} for an access token", status.as_u16());
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Broken(reason.into(), wait));
        }
        if !status.is_success() {
            return Err(Failure::Credentials(reason.into()));
        }
        let granted: Granted = serde_json::from_slice(&client::body(answer).await?)
            .map_err(|_| Failure::broken("no access token in the answer"))?;
        let life = Duration::from_secs(granted.expires_in).min(LONGEST);
        Ok(Token { bearer: granted.access_token, expires: asked + life })
    }

    fn assertion(&self) -> jsonwebtoken::errors::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Assertion {
            iss: &self.email,
            scope: SCOPE,
            aud: &self.uri,
            iat: now.as_secs(),
            exp: (now + VALID).as_secs(),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing)
    }
}
