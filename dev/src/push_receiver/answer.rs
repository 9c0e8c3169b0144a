//! What the receiver says.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// As a provider does that has no reason not to.
    Accept,
    /// With this status; with the code that FCM or APNs give, and a `Retry-After`.
    Refuse {
        /// The status.
        status: u16,
        /// Their word for it; empty for none.
        code: &'static str,
        /// Seconds or a date.
        retry_after: Option<String>,
    },
    /// With a redirect to there.
    Redirect(String),
    /// The connection breaks.
    Reset,
    /// Never.
    Silence,
}

impl Answer {
    /// Refuses with this status and nothing else.
    pub fn status(status: u16) -> Self {
        Self::code(status, "")
    }

    /// Refuses with this status and FCM's or APNs's word for it.
    pub fn code(status: u16, code: &'static str) -> Self {
        Self::Refuse { status, code, retry_after: None }
    }

    /// Refuses with this status and the time to wait.
    pub fn wait(status: u16, retry_after: impl Into<String>) -> Self {
        Self::Refuse { status, code: "", retry_after: Some(retry_after.into()) }
    }
}

/// Why a request gets no more than an error.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Of FCM or APNs.
    pub(super) code: &'static str,
    /// For people.
    pub(super) complaint: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, complaint: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        Self { status, code, complaint: complaint.into() }
    }
}

/// Which of the servers speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    WebPush,
    Fcm,
    Token,
    Apns,
}

pub(super) type Reply = Response<Full<Bytes>>;

impl Server {
    pub(super) fn accepted(self) -> Reply {
        match self {
            Self::WebPush => reply(StatusCode::CREATED, None),
            Self::Fcm => reply(StatusCode::OK, Some(json!({"name": "projects/petrel/messages/1"}))),
            Self::Token | Self::Apns => reply(StatusCode::OK, None),
        }
    }

    pub(super) fn refused(self, status: StatusCode, code: &str, wait: Option<&str>) -> Reply {
        let body = match self {
            _ if code.is_empty() => None,
            Self::WebPush => None,
            Self::Fcm => Some(fcm_error(status, code)),
            Self::Token => Some(json!({ "error": code })),
            Self::Apns => Some(json!({ "reason": code })),
        };
        let mut reply = reply(status, body);
        if let Some(wait) = wait.and_then(|wait| wait.parse().ok()) {
            reply.headers_mut().insert(RETRY_AFTER, wait);
        }
        reply
    }
}

pub(super) fn reply(status: StatusCode, body: Option<Value>) -> Reply {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = status;
    reply
}

fn fcm_error(status: StatusCode, code: &str) -> Value {
    let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    let google = match status.as_u16() {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    json!({
        "error": {
            "code": status.as_u16(),
            "message": "refused",
            "status": google,
            "details": [{ "@type": kind, "errorCode": code }],
        }
    })
}
