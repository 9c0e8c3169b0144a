//! The HTTP calls.

use std::{fmt::Write as _, time::Duration};

use reqwest::{Method, StatusCode, Url};
use schemas::{
    DeviceId, ErrorCode, Problem, PushTarget, UserId,
    http::{
        Device, List, Login, LoginDevice, Me, PatchMe, Profile, Refresh, Register, Session,
        VapidKey,
    },
    limits::BULK_IDS,
};
use serde::{Serialize, de::DeserializeOwned};

/// Longest wait for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A Petrel to call: one gateway, or what balances over several.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
}

/// A signed-in device.
#[derive(Debug, Clone)]
pub struct Account {
    /// The gateway that is called.
    pub api: Api,
    /// Who is signed in, and their tokens.
    pub session: Session,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Not a base URL, or one this client does not speak.
    #[error("{url:?} is not an http:// address: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// Why it is refused.
        reason: String,
    },
    /// The server refused, and said why.
    #[error("{} ({}){}", .0.code, .0.status, .0.detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
    Problem(Box<Problem>),
    /// An answer that is not the protocol's.
    #[error("unexpected answer {status}: {text}")]
    Unexpected {
        /// The HTTP status.
        status: StatusCode,
        /// The answer's first characters.
        text: String,
    },
    /// No answer.
    #[error("no answer: {0}")]
    Transport(#[from] reqwest::Error),
}

impl ApiError {
    /// The protocol's code, where the server gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            _ => None,
        }
    }
}

impl Api {
    /// A Petrel at this base URL, for example `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`ApiError::Url`] unless it is an `http` URL: TLS is left to what stands
    /// in front of a gateway.
    pub fn new(base: &str) -> Result<Self, ApiError> {
        let refused = |reason: String| ApiError::Url { url: base.to_owned(), reason };
        let url = Url::parse(base).map_err(|error| refused(error.to_string()))?;
        if url.scheme() != "http" || url.host().is_none() {
            return Err(refused("only http:// with a host is spoken here".into()));
        }
        let http = reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).build()?;
        Ok(Self { http, base: url })
    }

    /// The base URL.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The same HTTP connections pool, another gateway.
    ///
    /// # Errors
    /// As [`Api::new`].
    pub fn at(&self, base: &str) -> Result<Self, ApiError> {
        Ok(Self { http: self.http.clone(), base: Self::new(base)?.base })
    }

    /// `POST /v1/register` with a name like the username.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] when the username is taken.
    pub async fn register(&self, username: &str, password: &str) -> Result<Account, ApiError> {
        let register = Register {
            username: username.into(),
            password: password.into(),
            name: username.into(),
            phone: None,
            device: None,
        };
        self.sign_in("v1/register", &register).await
    }

    /// `POST /v1/login`; without a device id a new device is linked.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`] for a wrong name or password,
    /// [`ErrorCode::Conflict`] with no room for another device.
    pub async fn login(
        &self,
        username: &str,
        password: &str,
        device: Option<DeviceId>,
    ) -> Result<Account, ApiError> {
        let device = device.map(|id| LoginDevice { id: Some(id), ..LoginDevice::default() });
        let login = Login { username: username.into(), password: password.into(), device };
        self.sign_in("v1/login", &login).await
    }

    /// `POST /v1/token`: a new pair for a refresh token.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`] when it was used before, or is no good.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Account, ApiError> {
        self.sign_in("v1/token", &Refresh { refresh_token: refresh_token.into() }).await
    }

    /// `GET /v1/push/vapid`: the key that browsers subscribe with, in base64url;
    /// none until a worker that can push to them has told it.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn vapid_key(&self) -> Result<Option<String>, ApiError> {
        match self.call(Method::GET, "v1/push/vapid", None, None::<&()>).await {
            Ok(VapidKey { public_key }) => Ok(Some(public_key)),
            Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `PUT` or `DELETE /v1/me/devices/{id}/push`, as whose access token this is.
    ///
    /// # Errors
    /// As [`Account::set_push`].
    pub async fn set_push(
        &self,
        token: &str,
        device: DeviceId,
        target: Option<&PushTarget>,
    ) -> Result<(), ApiError> {
        let path = format!("v1/me/devices/{device}/push");
        let method = if target.is_some() { Method::PUT } else { Method::DELETE };
        self.call(method, &path, Some(token), target).await
    }

    /// Any call: for those that have no method here, and for bad ones.
    ///
    /// # Errors
    /// [`ApiError::Problem`] with the server's own words.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ApiError> {
        let text = self.text(method, path, token, body).await?;
        // A 204 has no text; `()` is what it stands for.
        let json = if text.1.is_empty() { "null" } else { &text.1 };
        serde_json::from_str(json)
            .map_err(|error| ApiError::Unexpected { status: text.0, text: error.to_string() })
    }

    async fn sign_in(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Account, ApiError> {
        let session = self.call(Method::POST, path, None, Some(body)).await?;
        Ok(Account { api: self.clone(), session })
    }

    async fn text(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<(StatusCode, String), ApiError> {
        let url = self
            .base
            .join(path)
            .map_err(|error| ApiError::Url { url: path.to_owned(), reason: error.to_string() })?;
        let mut request = self.http.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() {
            return Ok((status, text));
        }
        Err(match serde_json::from_str(&text) {
            Ok(problem) => ApiError::Problem(Box::new(problem)),
            Err(_) => ApiError::Unexpected { status, text: text.chars().take(200).collect() },
        })
    }
}

impl Account {
    /// The signed-in user.
    pub fn user(&self) -> UserId {
        self.session.user
    }

    /// The device they are signed in on.
    pub fn device(&self) -> DeviceId {
        self.session.device
    }

    /// The access token, as of the last login or refresh.
    pub fn token(&self) -> &str {
        &self.session.access_token
    }

    /// Changes to a new pair of tokens.
    ///
    /// # Errors
    /// As [`Api::refresh`].
    pub async fn refresh(&mut self) -> Result<(), ApiError> {
        self.session = self.api.refresh(&self.session.refresh_token).await?.session;
        Ok(())
    }

    /// Has this device woken in that way while it is not connected; in none
    /// where there is none.
    ///
    /// # Errors
    /// [`ErrorCode::Invalid`] for a target that cannot be.
    pub async fn set_push(&self, target: Option<&PushTarget>) -> Result<(), ApiError> {
        self.api.set_push(self.token(), self.device(), target).await
    }

    /// Unlinks this device; its inbox is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`] when the token is no good any more.
    pub async fn logout(&self) -> Result<(), ApiError> {
        self.post("v1/logout", None::<&()>).await
    }

    /// The user's own profile and settings.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn me(&self) -> Result<Me, ApiError> {
        self.get("v1/me").await
    }

    /// Changes the profile or settings; the answer is how they are now.
    ///
    /// # Errors
    /// [`ErrorCode::Invalid`] for an impossible value.
    pub async fn patch_me(&self, patch: &PatchMe) -> Result<Me, ApiError> {
        self.api.call(Method::PATCH, "v1/me", Some(self.token()), Some(patch)).await
    }

    /// The user's linked devices.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn devices(&self) -> Result<Vec<Device>, ApiError> {
        Ok(self.get::<List<Device>>("v1/me/devices").await?.items)
    }

    /// Unlinks one of the user's devices.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] for a device that is not the user's.
    pub async fn unlink(&self, device: DeviceId) -> Result<(), ApiError> {
        self.delete(&format!("v1/me/devices/{device}")).await
    }

    /// Blocks a user.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] for an unknown one.
    pub async fn block(&self, user: UserId) -> Result<(), ApiError> {
        let path = format!("v1/me/blocked/{user}");
        self.api.call(Method::PUT, &path, Some(self.token()), None::<&()>).await
    }

    /// Ends a block.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn unblock(&self, user: UserId) -> Result<(), ApiError> {
        self.delete(&format!("v1/me/blocked/{user}")).await
    }

    /// Finds a user by name.
    ///
    /// # Errors
    /// See [`ApiError`]; `None` is nobody of that name.
    pub async fn find(&self, username: &str) -> Result<Option<Profile>, ApiError> {
        let found: List<Profile> =
            self.get(&format!("v1/users?username={}", query(username))).await?;
        Ok(found.items.into_iter().next())
    }

    /// The profiles of these users, in calls of a hundred.
    ///
    /// # Errors
    /// See [`ApiError`]; unknown users are left out.
    pub async fn profiles(&self, users: &[UserId]) -> Result<Vec<Profile>, ApiError> {
        let mut profiles = Vec::with_capacity(users.len());
        for some in users.chunks(BULK_IDS) {
            let ids: Vec<String> = some.iter().map(ToString::to_string).collect();
            let path = format!("v1/users?ids={}", ids.join(","));
            profiles.extend(self.get::<List<Profile>>(&path).await?.items);
        }
        Ok(profiles)
    }

    /// Any `GET` as this user.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.api.call(Method::GET, path, Some(self.token()), None::<&()>).await
    }

    /// Any `POST` as this user.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ApiError> {
        self.api.call(Method::POST, path, Some(self.token()), body).await
    }

    async fn delete(&self, path: &str) -> Result<(), ApiError> {
        self.api.call(Method::DELETE, path, Some(self.token()), None::<&()>).await
    }
}

/// A query value, percent-encoded byte by byte where it must be.
fn query(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
