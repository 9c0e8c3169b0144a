//! What counts per address.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{is_limited, post, request};
use crate::http::Answer;

async fn get(from: &str, path: &str) -> Answer {
    Answer::to(request(from, Method::GET, path).await).await
}

/// Asks until it is too often; how often it was not.
async fn asks(ask: impl AsyncFn() -> Answer) -> usize {
    for count in 0..2000 {
        let answer = ask().await;
        if answer.status == 429 {
            is_limited(&answer);
            return count;
        }
    }
    panic!("there is no limit");
}

#[tokio::test]
async fn requests_of_any_kind() {
    let count = asks(async || get("198.51.100.1", "/v1/nothing").await).await;
    assert_eq!(count, 1000);
    for path in ["/v1/me", "/docs", "/v1/ws"] {
        is_limited(&get("198.51.100.1", path).await);
    }
    assert_eq!(get("198.51.100.1", "/healthz").await.status, 200);
    assert_eq!(get("198.51.100.1", "/readyz").await.status, 200);
    // What a client itself writes into the header is of no account.
    is_limited(&get("192.0.2.1, 198.51.100.1", "/docs").await);
    assert_eq!(get("198.51.100.1, 192.0.2.1", "/docs").await.status, 200);
}

async fn handshake(from: &str) -> RequestBuilder {
    let request = request(from, Method::GET, "/v1/ws").await;
    request
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn handshakes_and_all_of_a_network_count_as_one() {
    for n in 0..200 {
        let from = format!("2001:db8::{n:x}:{n:x}:{n:x}");
        let answer = handshake(&from).await.send().await.unwrap();
        assert_eq!(answer.status(), 101, "{n}");
    }
    is_limited(&Answer::to(handshake("2001:db8::1").await).await);
    let answer = handshake("2001:db8:0:1::1").await.send().await.unwrap();
    assert_eq!(answer.status(), 101);
}

#[tokio::test]
async fn registrations_but_not_vain_ones() {
    let register = async |name: &str| {
        let new = json!({"username": name, "password": "p", "name": "R."});
        post("198.51.100.2", "/v1/register", &new).await
    };
    for _ in 0..101 {
        assert_eq!(register("").await.status, 400);
    }
    let count = asks(async || register(&format!("r-{}", ulid::Ulid::generate())).await).await;
    assert_eq!(count, 100);
}

#[tokio::test]
async fn renewals_good_or_bad() {
    let token = json!({"refresh_token": "nonsense"});
    let count = asks(async || post("198.51.100.3", "/v1/token", &token).await).await;
    assert_eq!(count, 20);
}
