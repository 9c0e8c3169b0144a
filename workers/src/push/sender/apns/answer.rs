//! What Apple means by an error.

use std::{borrow::Cow, time::Duration};

use reqwest::StatusCode;
use serde::Deserialize;

use super::{Error, Failure};

/// Characters of a reason that get into logs.
const REASON_MAX: usize = 40;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    reason: String,
}

/// Reads an answer that is none of success.
pub(super) fn judge(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Error {
    let Answer { reason } = serde_json::from_slice(body).unwrap_or_default();
    Error::Failure(match (reason.as_str(), status) {
        ("ExpiredProviderToken", _) => return Error::Expired,
        ("BadDeviceToken" | "DeviceTokenNotForTopic" | "Unregistered" | "ExpiredToken", _)
        | (_, StatusCode::GONE) => Failure::Gone,
        (_, StatusCode::PAYLOAD_TOO_LARGE) => Failure::TooLarge,
        (_, StatusCode::TOO_MANY_REQUESTS) => Failure::Busy(wait),
        ("IdleTimeout", _) => Failure::Broken(say(status, &reason), wait),
        (_, status) if status.is_server_error() => Failure::Broken(say(status, &reason), wait),
        (_, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => {
            Failure::Credentials(say(status, &reason))
        }
        _ => Failure::Refused(say(status, &reason)),
    })
}

/// Status and reason, and of the reason what it can consist of.
fn say(status: StatusCode, reason: &str) -> Cow<'static, str> {
    let reason: String =
        reason.chars().filter(char::is_ascii_alphanumeric).take(REASON_MAX).collect();
    format!("{} {reason}", status.as_u16()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_means_something() {
        let wait = Some(Duration::from_secs(7));
        let credentials = |reason: &'static str| Failure::Credentials(reason.into());
        let broken = |reason: &'static str| Failure::Broken(reason.into(), wait);
        let refused = |reason: &'static str| Failure::Refused(reason.into());
        for (status, reason, failure) in [
            (400, "BadDeviceToken", Failure::Gone),
            (400, "DeviceTokenNotForTopic", Failure::Gone),
            (410, "Unregistered", Failure::Gone),
            (410, "ExpiredToken", Failure::Gone),
            (410, "", Failure::Gone),
            (400, "TopicDisallowed", refused("400 TopicDisallowed")),
            (400, "IdleTimeout", broken("400 IdleTimeout")),
            (403, "InvalidProviderToken", credentials("403 InvalidProviderToken")),
            (403, "", credentials("403 ")),
            // A path that is not there is our mistake, not the device's.
            (404, "BadPath", refused("404 BadPath")),
            (413, "PayloadTooLarge", Failure::TooLarge),
            (429, "TooManyRequests", Failure::Busy(wait)),
            (429, "TooManyProviderTokenUpdates", Failure::Busy(wait)),
            (500, "InternalServerError", broken("500 InternalServerError")),
            (503, "Shutdown", broken("503 Shutdown")),
            (400, "<b>a token</b>", refused("400 batokenb")),
        ] {
            let code = StatusCode::from_u16(status).unwrap_or_default();
            let body = serde_json::json!({ "reason": reason }).to_string();
            let judged = judge(code, wait, body.as_bytes());
            assert_eq!(judged, Error::Failure(failure), "{status} {reason}");
        }
        let expired = judge(StatusCode::FORBIDDEN, wait, br#"{"reason":"ExpiredProviderToken"}"#);
        assert_eq!(expired, Error::Expired);
        let html = judge(StatusCode::BAD_GATEWAY, wait, b"<html>");
        assert_eq!(html, Error::Failure(broken("502 ")));
    }
}
