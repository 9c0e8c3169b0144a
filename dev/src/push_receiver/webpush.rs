//! A Web Push service, and the browser behind it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use schemas::push::PushMessage;
use serde::Deserialize;

use super::{Push, Shared, answer::Refusal, decrypt::decrypt, serve::Asked};

/// What push services take.
const BODY_MAX: usize = 4_096;
/// No signature may be good for longer (RFC 8292).
const VALID_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
}

/// Checks a request as a push service does, and reads it as a browser does.
pub(super) fn read(shared: &Shared, id: &str, asked: &Asked<'_>) -> Result<Push, Refusal> {
    let bad = |complaint: &str| Refusal::new(400, "", complaint);
    let browser = shared.state().registered(id).and_then(|device| device.browser.clone());
    let browser = browser.ok_or_else(|| Refusal::new(404, "", "no such subscription"))?;
    if asked.body.len() > BODY_MAX {
        return Err(Refusal::new(413, "", "the payload is too large"));
    }
    vapid(asked.header("authorization"), &browser.server, &format!("http://{}", shared.addr))?;
    if asked.header("content-encoding") != "aes128gcm" {
        return Err(bad("the content-encoding is not aes128gcm"));
    }
    asked.header("ttl").parse::<u32>().map_err(|_| bad("no ttl"))?;
    if asked.header("urgency") != "high" {
        return Err(bad("a message is not urgent"));
    }
    let topic = asked.header("topic");
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !(1..=32).contains(&topic.len()) || !topic.bytes().all(base64url) {
        return Err(bad("the topic is none"));
    }
    let text = decrypt(&asked.body, &browser.key, &browser.auth);
    let text = text.ok_or_else(|| bad("the browser cannot decrypt it"))?;
    let message = serde_json::from_slice(&text).map_err(|_| bad("the text is no message"))?;
    let payload = serde_json::from_slice(&text).map_err(|_| bad("the text is not JSON"))?;
    let PushMessage::Messages { chat, badge, preview } = message;
    Ok(Push { badge, chat: Some(chat), preview, collapse: topic.into(), payload })
}

/// Who sends is who the browser subscribed for, and says so for us.
fn vapid(header: &str, server: &str, origin: &str) -> Result<(), Refusal> {
    let refuse = |complaint: &str| Refusal::new(403, "", format!("vapid: {complaint}"));
    let parameters = header.strip_prefix("vapid ").ok_or_else(|| refuse("none"))?;
    let parameter = |name: &str| {
        parameters.split(',').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let token = parameter("t").ok_or_else(|| refuse("no token"))?;
    let key = parameter("k").ok_or_else(|| refuse("no key"))?;
    if key != server {
        return Err(refuse("another server's key"));
    }
    let point = URL_SAFE_NO_PAD.decode(key).map_err(|_| refuse("the key is none"))?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[origin]);
    validation.set_required_spec_claims(&["aud", "exp", "sub"]);
    let decoded =
        jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ec_der(&point), &validation)
            .map_err(|error| refuse(&error.to_string()))?;
    let Claims { sub, exp } = decoded.claims;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if exp > (now + VALID_MAX).as_secs() {
        return Err(refuse("good for more than a day"));
    }
    if !sub.starts_with("mailto:") && !sub.starts_with("https:") {
        return Err(refuse("nobody to write to"));
    }
    Ok(())
}
