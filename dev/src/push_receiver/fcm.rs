//! FCM HTTP v1, and the server of Google's that grants tokens for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Validation};
use schemas::push::PushPreview;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Push, Shared,
    answer::Refusal,
    keys::{EMAIL, FCM_KEY_ID, PROJECT, token_uri},
    serve::Asked,
};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long a token is good for.
const GRANTED: Duration = Duration::from_secs(3_599);
/// No assertion may be good for longer.
const VALID_MAX: u64 = 60 * 60;
/// How long FCM keeps a message, in seconds: four weeks.
const TTL_MAX: u32 = 2_419_200;
/// What FCM takes of data.
const DATA_MAX: usize = 4_096;

#[derive(Deserialize)]
struct Assertion {
    iss: String,
    scope: String,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Request {
    message: Message,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    token: String,
    data: serde_json::Map<String, Value>,
    android: Android,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Android {
    priority: String,
    ttl: String,
    collapse_key: String,
}

pub(super) fn path() -> String {
    format!("v1/projects/{PROJECT}/messages:send")
}

/// Whom a message is for.
pub(super) fn addressee(asked: &Asked<'_>) -> String {
    let request: Option<Request> = serde_json::from_slice(&asked.body).ok();
    request.map(|request| request.message.token).unwrap_or_default()
}

/// Grants a token for a good assertion (RFC 7523).
pub(super) fn grant(shared: &Shared, asked: &Asked<'_>) -> Result<Value, Refusal> {
    let refuse = |complaint: &str| Refusal::new(400, "invalid_grant", complaint);
    let form = String::from_utf8_lossy(&asked.body);
    let field =
        |name: &str| form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if asked.header("content-type") != "application/x-www-form-urlencoded"
        || field("grant_type") != Some("urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer")
    {
        return Err(refuse("not a grant by assertion"));
    }
    let assertion = field("assertion").ok_or_else(|| refuse("no assertion"))?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[token_uri(shared.addr)]);
    validation.set_required_spec_claims(&["aud", "exp", "iss"]);
    let decoded = jsonwebtoken::decode::<Assertion>(assertion, &shared.keys.fcm(), &validation)
        .map_err(|error| refuse(&format!("assertion: {error}")))?;
    let Assertion { iss, scope, iat, exp } = decoded.claims;
    if iss != EMAIL || scope != SCOPE || decoded.header.kid.as_deref() != Some(FCM_KEY_ID) {
        return Err(refuse("assertion: not of this account, or for something else"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if iat > now + 60 || exp > iat + VALID_MAX {
        return Err(refuse("assertion: good for more than an hour"));
    }
    let bearer = format!("ya29.{:032x}", rand::random::<u128>());
    let mut state = shared.state();
    state.granted += 1;
    state.bearers.insert(bearer.clone());
    Ok(json!({
        "access_token": bearer,
        "expires_in": GRANTED.as_secs(),
        "token_type": "Bearer",
    }))
}

/// Checks and reads a message.
pub(super) fn read(shared: &Shared, id: &str, asked: &Asked<'_>) -> Result<Push, Refusal> {
    let bad = |complaint: &str| Refusal::new(400, "INVALID_ARGUMENT", complaint);
    let bearer = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    if !shared.state().bearers.contains(bearer) {
        return Err(Refusal::new(401, "", "fcm: a bearer that is not granted"));
    }
    let Request { message } = serde_json::from_slice(&asked.body)
        .map_err(|error| bad(&format!("fcm: no message: {error}")))?;
    if shared.state().registered(id).is_none() {
        return Err(Refusal::new(404, "UNREGISTERED", "fcm: no such token"));
    }
    let Android { priority, ttl, collapse_key } = message.android;
    let ttl: Option<u32> = ttl.strip_suffix('s').and_then(|secs| secs.parse().ok());
    if priority != "high" || collapse_key.is_empty() || ttl.is_none_or(|secs| secs > TTL_MAX) {
        return Err(bad("fcm: priority, ttl or collapse_key"));
    }
    let data = Value::Object(message.data);
    if data.to_string().len() > DATA_MAX {
        return Err(bad("fcm: too much data"));
    }
    let text = |name: &str| data[name].as_str();
    if data.as_object().is_some_and(|data| data.values().any(|value| !value.is_string()))
        || text("type") != Some("messages")
    {
        return Err(bad("fcm: data of other types"));
    }
    let badge = text("badge").and_then(|badge| badge.parse().ok());
    let preview = text("from").and_then(|from| from.parse().ok()).zip(text("text"));
    Ok(Push {
        badge: badge.ok_or_else(|| bad("fcm: no badge"))?,
        chat: text("chat").and_then(|chat| chat.parse().ok()),
        preview: preview.map(|(from, text)| PushPreview { from, text: text.into() }),
        collapse: collapse_key,
        payload: data,
    })
}
