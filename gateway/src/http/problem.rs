//! Errors as RFC 9457 problems.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemas::{ErrorCode, Problem, client::FrameError};
use store::{DirectoryError, objects::ObjectError};

use crate::{app::AuthError, password::HashError, session::Refusal};

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct HttpError {
    status: StatusCode,
    refusal: Refusal,
}

impl HttpError {
    /// An error with its code's own status.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Refusal::new(code, detail).into()
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// A value that cannot be.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, detail)
    }

    /// No token, or one that is not accepted.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthorized, detail)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let Refusal { code, message, retry_after_ms } = self.refusal;
        let problem = Problem {
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            code,
            detail: Some(message),
            retry_after_ms,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(wait) = retry_after_ms {
            // RFC 9110 §10.2.3: whole seconds.
            headers.insert(header::RETRY_AFTER, wait.div_ceil(1000).into());
        }
        if code == ErrorCode::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.code.status());
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), refusal }
    }
}

impl From<DirectoryError> for HttpError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Conflict(_) | DirectoryError::LimitReached { .. } => {
                Self::new(ErrorCode::Conflict, error.to_string())
            }
            DirectoryError::NotFound(_) => Self::new(ErrorCode::NotFound, error.to_string()),
            DirectoryError::Unavailable(_) | DirectoryError::Unreadable { .. } => {
                tracing::warn!(error = &error as &dyn std::error::Error, "directory unavailable");
                Self::new(ErrorCode::Unavailable, "the directory does not answer")
            }
        }
    }
}

impl From<ObjectError> for HttpError {
    fn from(error: ObjectError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<AuthError> for HttpError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused(refused) => Self::unauthorized(refused.to_string()),
            AuthError::Unavailable(error) => error.into(),
        }
    }
}

impl From<FrameError> for HttpError {
    fn from(error: FrameError) -> Self {
        Self::new(error.code, error.message)
    }
}

impl From<HashError> for HttpError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => tracing::warn!("{error}"),
            HashError::Failed(_) => tracing::error!(%error, "password not hashed"),
        }
        Self::new(ErrorCode::Unavailable, "the password could not be checked")
    }
}

impl From<jsonwebtoken::errors::Error> for HttpError {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        tracing::error!(%error, "token not signed");
        Self::new(ErrorCode::Unavailable, "the token could not be made")
    }
}
