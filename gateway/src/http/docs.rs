//! The published description of the API, made once.

use std::sync::LazyLock;

use axum::{
    http::{HeaderName, header},
    response::{Html, IntoResponse},
};
use schemas::publish;

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// `GET /openapi.json`
pub(super) async fn openapi() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| publish::openapi().to_string());
    (JSON, TEXT.as_str())
}

/// `GET /asyncapi.json`
pub(super) async fn asyncapi() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| publish::asyncapi().to_string());
    (JSON, TEXT.as_str())
}

/// `GET /docs`
pub(super) async fn page() -> Html<&'static str> {
    static TEXT: LazyLock<String> = LazyLock::new(publish::docs_html);
    Html(TEXT.as_str())
}
