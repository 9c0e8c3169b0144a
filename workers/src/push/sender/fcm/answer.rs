//! What FCM means by an error.

use std::{borrow::Cow, time::Duration};

use reqwest::StatusCode;
use serde::Deserialize;

use super::Failure;

/// Where FCM asks for patience without saying how long, its documentation does.
const PATIENCE: Duration = Duration::from_secs(60);
/// Characters of a code that get into logs.
const CODE_MAX: usize = 40;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    error: Error,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Error {
    status: String,
    details: Vec<Detail>,
}

/// An `FcmError` has a code, a `BadRequest` the fields that are wrong.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    error_code: Option<String>,
    field_violations: Vec<Violation>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Violation {
    field: String,
}

/// Reads an answer that is none of success.
pub(super) fn judge(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Failure {
    let Answer { error } = serde_json::from_slice(body).unwrap_or_default();
    let code = error.details.iter().find_map(|detail| detail.error_code.as_deref());
    let code = code.unwrap_or(&error.status);
    let bad = |field: &str| {
        let mut fields = error.details.iter().flat_map(|detail| &detail.field_violations);
        fields.any(|violation| violation.field == field)
    };
    match (code, status) {
        ("UNREGISTERED", _) => Failure::Gone,
        // The token is none, or not one of FCM's.
        ("INVALID_ARGUMENT", _) if bad("message.token") => Failure::Gone,
        (_, StatusCode::PAYLOAD_TOO_LARGE) => Failure::TooLarge,
        ("QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED", _) | (_, StatusCode::TOO_MANY_REQUESTS) => {
            Failure::Busy(wait.or(Some(PATIENCE)))
        }
        ("UNAVAILABLE" | "INTERNAL", _) => Failure::Broken(say(status, code), wait),
        (_, status) if status.is_server_error() => Failure::Broken(say(status, code), wait),
        (_, StatusCode::REQUEST_TIMEOUT) => Failure::Broken(say(status, code), wait),
        // The app belongs to another project. Were the target forgotten, a mistake in
        // the configuration would forget all of them.
        ("SENDER_ID_MISMATCH", _) => Failure::Refused(say(status, code)),
        (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Failure::Credentials(say(status, code))
        }
        _ => Failure::Refused(say(status, code)),
    }
}

/// Status and code, and of the code what it can consist of.
fn say(status: StatusCode, code: &str) -> Cow<'static, str> {
    let code: String =
        code.chars().filter(|c| c.is_ascii_uppercase() || *c == '_').take(CODE_MAX).collect();
    format!("{} {code}", status.as_u16()).into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const WAIT: Duration = Duration::from_secs(7);

    fn fcm(status: &str, code: &str) -> Value {
        let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
        json!({"error": {"code": 400, "message": "words", "status": status,
                         "details": [{"@type": kind, "errorCode": code}]}})
    }

    fn bad_request(field: &str) -> Value {
        let kind = "type.googleapis.com/google.rpc.BadRequest";
        let mut answer = fcm("INVALID_ARGUMENT", "INVALID_ARGUMENT");
        if let Some(details) = answer["error"]["details"].as_array_mut() {
            let violation = json!({"field": field, "description": "words"});
            details.push(json!({"@type": kind, "fieldViolations": [violation]}));
        }
        answer
    }

    #[test]
    fn each_error_means_something() {
        let broken = |reason: &'static str| Failure::Broken(reason.into(), Some(WAIT));
        let refused = |reason: &'static str| Failure::Refused(reason.into());
        for (status, body, failure) in [
            (404, fcm("NOT_FOUND", "UNREGISTERED"), Failure::Gone),
            // A wrong project is no dead token.
            (404, json!({"error": {"status": "NOT_FOUND"}}), refused("404 NOT_FOUND")),
            (404, json!("not found"), refused("404 ")),
            (400, bad_request("message.token"), Failure::Gone),
            (400, bad_request("message.data"), refused("400 INVALID_ARGUMENT")),
            (
                403,
                fcm("PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
                refused("403 SENDER_ID_MISMATCH"),
            ),
            (
                403,
                json!({"error": {"status": "PERMISSION_DENIED"}}),
                Failure::Credentials("403 PERMISSION_DENIED".into()),
            ),
            (
                401,
                fcm("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
                Failure::Credentials("401 THIRD_PARTY_AUTH_ERROR".into()),
            ),
            (429, fcm("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), Failure::Busy(Some(WAIT))),
            (503, fcm("UNAVAILABLE", "UNAVAILABLE"), broken("503 UNAVAILABLE")),
            (500, fcm("INTERNAL", "INTERNAL"), broken("500 INTERNAL")),
            (502, json!("<html>"), broken("502 ")),
            (413, json!({}), Failure::TooLarge),
            (400, json!({"error": {"status": "token=s3cret"}}), refused("400 ")),
        ] {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            let body = body.to_string();
            assert_eq!(judge(status, Some(WAIT), body.as_bytes()), failure, "{status} {body}");
        }
        let silent = judge(StatusCode::TOO_MANY_REQUESTS, None, b"");
        assert_eq!(silent, Failure::Busy(Some(PATIENCE)));
    }
}
