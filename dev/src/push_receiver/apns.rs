//! The Apple Push Notification service.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Version;
use jsonwebtoken::{Algorithm, Validation};
use schemas::push::PushPreview;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Push, Shared,
    answer::Refusal,
    keys::{APNS_KEY_ID, APNS_TEAM_ID},
    serve::Asked,
    state::TOPIC,
};

/// What APNs takes.
const PAYLOAD_MAX: usize = 4_096;
/// Bytes of the longest collapse id.
const COLLAPSE_MAX: usize = 64;
/// How long a token is good for, in seconds.
const TOKEN_VALID: u64 = 60 * 60;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
}

/// Checks and reads a notification.
pub(super) fn read(shared: &Shared, id: &str, asked: &Asked<'_>) -> Result<Push, Refusal> {
    if asked.version != Version::HTTP_2 {
        return Err(Refusal::new(505, "", "apns: not over HTTP/2"));
    }
    let token = asked.header("authorization").strip_prefix("bearer ").unwrap_or_default();
    provider_token(shared, token)?;
    headers(asked)?;
    if asked.body.len() > PAYLOAD_MAX {
        return Err(Refusal::new(413, "PayloadTooLarge", "apns: the payload is too large"));
    }
    if shared.state().registered(id).is_none() {
        return Err(Refusal::new(400, "BadDeviceToken", "apns: no such token"));
    }
    let bad = |complaint: &str| Refusal::new(400, "BadPayload", complaint);
    let payload: Value = serde_json::from_slice(&asked.body).map_err(|_| bad("apns: no JSON"))?;
    let aps = &payload["aps"];
    let alert = &aps["alert"];
    if !(alert["loc-key"].is_string() || alert["body"].is_string()) || aps["mutable-content"] != 1 {
        return Err(bad("apns: no alert, or not one to change"));
    }
    let from = payload["from"].as_str().and_then(|from| from.parse().ok());
    let preview = from.zip(alert["body"].as_str());
    Ok(Push {
        badge: aps["badge"].as_u64().ok_or_else(|| bad("apns: no badge"))?,
        chat: payload["chat"].as_str().and_then(|chat| chat.parse().ok()),
        preview: preview.map(|(from, text)| PushPreview { from, text: text.into() }),
        collapse: asked.header("apns-collapse-id").into(),
        payload,
    })
}

fn provider_token(shared: &Shared, token: &str) -> Result<(), Refusal> {
    let refuse = |code, complaint: &str| Refusal::new(403, code, format!("apns: {complaint}"));
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_required_spec_claims(&["iss"]);
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &shared.keys.apns(), &validation)
        .map_err(|error| refuse("InvalidProviderToken", &error.to_string()))?;
    let Claims { iss, iat } = decoded.claims;
    if iss != APNS_TEAM_ID || decoded.header.kid.as_deref() != Some(APNS_KEY_ID) {
        return Err(refuse("InvalidProviderToken", "another team or key"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut state = shared.state();
    if iat + TOKEN_VALID < now || state.expired.contains(token) {
        return Err(refuse("ExpiredProviderToken", "an old token"));
    }
    state.seen.insert(token.into());
    Ok(())
}

fn headers(asked: &Asked<'_>) -> Result<(), Refusal> {
    let bad = |code, complaint| Err(Refusal::new(400, code, complaint));
    if asked.header("apns-topic") != TOPIC {
        return bad("DeviceTokenNotForTopic", "apns: another app's topic");
    }
    if asked.header("apns-push-type") != "alert" || asked.header("apns-priority") != "10" {
        return bad("BadPriority", "apns: a message is an urgent alert");
    }
    if asked.header("apns-expiration").parse::<u64>().is_err() {
        return bad("BadExpirationDate", "apns: no expiration");
    }
    if !(1..=COLLAPSE_MAX).contains(&asked.header("apns-collapse-id").len()) {
        return bad("BadCollapseId", "apns: no collapse id");
    }
    Ok(())
}
