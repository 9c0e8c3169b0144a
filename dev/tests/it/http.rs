//! The HTTP API as PROTOCOL and the published operations have it, on a real stack.

mod me;
mod problems;
mod service;
mod sessions;
mod users;

use reqwest::{Method, RequestBuilder, header};
use schemas::ErrorCode;
use serde_json::Value;

use crate::support;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// What a request is answered.
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Self { status, headers, text: answer.text().await.unwrap() }
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Checks that this is a problem with that code, and its status.
    #[track_caller]
    pub(crate) fn is_problem(&self, code: ErrorCode) {
        self.is_problem_with(code.status(), code);
    }

    #[track_caller]
    fn is_problem_with(&self, status: u16, code: ErrorCode) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header(header::CONTENT_TYPE), Some("application/problem+json"));
        let problem: schemas::Problem = serde_json::from_str(&self.text).unwrap();
        assert_eq!((problem.code, problem.status), (code, status), "{}", self.text);
        assert!(!problem.title.is_empty());
        let asks = (code == ErrorCode::Unauthorized).then_some("Bearer");
        assert_eq!(self.header(header::WWW_AUTHENTICATE), asks);
    }
}

/// Calls the first gateway of the shared stack.
async fn call(method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Answer {
    call_at(&support::shared_stack().await.gateways()[0].url(), method, path, token, body).await
}

/// Calls the gateway there.
pub(crate) async fn call_at(
    url: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request =
        client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{url}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.body(body.to_owned());
    }
    Answer::to(request).await
}
