//! Every limit, hit once. They come back so slowly here that it does not happen
//! while a test runs.

mod addresses;
mod logins;
mod users;

use dev::Stack;
use reqwest::{Client, Method, RequestBuilder, header::RETRY_AFTER};
use schemas::ErrorCode;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    http::Answer,
    people::{FIRST, PASSWORD},
    support,
};

/// A gateway behind a proxy, which says who a client is: these tests.
async fn stack() -> &'static Stack {
    static SHARED: OnceCell<Stack> = OnceCell::const_new();
    let start = async || {
        let limits = [
            ("USER_LIMIT_SENDS", "10,1/h"),
            ("USER_LIMIT_COPIES", "5,1/h"),
            ("USER_LIMIT_CONNECTS", "3,1/h"),
            ("USER_LIMIT_FRAMES", "300,1/h"),
            ("USER_LIMIT_RENEWALS", "2,1/h"),
            ("USER_LIMIT_GROUPS", "2,1/h"),
            ("USER_LIMIT_GROUP_CHANGES", "2,1/h"),
            ("USER_LIMIT_CHANGES", "2,1/h"),
            ("USER_LIMIT_LOOKUPS", "2,1/h"),
            ("USER_LIMIT_POLLS", "2,1/h"),
            ("USER_LIMIT_READS", "2,1/h"),
            ("USER_LIMIT_WATCHES", "2,1/h"),
            ("USER_LIMIT_TYPING", "2,1/h"),
            ("USER_LIMIT_UPLOADS", "2,1/h"),
            ("USER_LIMIT_PIECES", "2,1/h"),
            ("USER_LIMIT_DOWNLOADS", "2,1/h"),
            ("USER_LOGIN_DELAY", "3,1h..1h"),
            ("ADDRESS_LIMIT_REQUESTS", "1000,1/h"),
            ("ADDRESS_LIMIT_CONNECTS", "200,1/h"),
            ("ADDRESS_LIMIT_REGISTRATIONS", "100,1/h"),
            ("ADDRESS_LIMIT_LOGINS", "100,1/h"),
            ("ADDRESS_LIMIT_RENEWALS", "20,1/h"),
            ("ADDRESS_LOGIN_DELAY", "10,1h..1h"),
            ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ];
        let stack = limits.iter().fold(support::stack(), |stack, (name, value)| {
            stack.env(format!("PETREL_{name}"), *value)
        });
        stack.start().await.unwrap()
    };
    SHARED.get_or_init(start).await
}

/// A request that a client at this address makes through the proxy.
async fn request(from: &str, method: Method, path: &str) -> RequestBuilder {
    let url = format!("{}{path}", stack().await.gateways()[FIRST].url());
    let client = Client::builder().no_proxy().build().unwrap();
    client.request(method, url).header("x-forwarded-for", from)
}

async fn post(from: &str, path: &str, body: &Value) -> Answer {
    Answer::to(request(from, Method::POST, path).await.body(body.to_string())).await
}

async fn log_in(from: &str, name: &str, password: &str) -> Answer {
    post(from, "/v1/login", &json!({"username": name, "password": password})).await
}

/// Somebody new; the name, which is the same as the password's owner's.
async fn registered() -> (String, Value) {
    let name = format!("l-{}", ulid::Ulid::generate());
    let new = json!({"username": name, "password": PASSWORD, "name": name});
    let answer = post("203.0.113.1", "/v1/register", &new).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    (name, answer.json())
}

/// That it was too often, and when it will not be.
#[track_caller]
fn is_limited(answer: &Answer) {
    answer.is_problem(ErrorCode::RateLimited);
    assert_eq!(answer.status, 429);
    let wait = answer.json()["retry_after_ms"].as_u64().unwrap();
    let seconds: u64 = answer.header(RETRY_AFTER).unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{answer:?}");
    assert_eq!(seconds, wait.div_ceil(1000));
}
