//! Passwords that are tried too often.

use schemas::ErrorCode;
use serde_json::{Value, json};
use ulid::Ulid;

use super::{is_limited, log_in, post, registered};
use crate::{http::Answer, people::PASSWORD};

/// What a client is told, without how long there is to wait.
fn told(answer: &Answer) -> Value {
    is_limited(answer);
    let mut told = answer.json();
    let told = told.as_object_mut().unwrap();
    told.retain(|field, _| field != "retry_after_ms" && field != "detail");
    json!(told)
}

#[tokio::test]
async fn after_some_wrong_ones_for_a_name_nobody_is_told_which_is_right() {
    let (name, session) = registered().await;
    let nobody = format!("n-{}", Ulid::generate());
    for (n, name) in [&name, &nobody].into_iter().cycle().take(6).enumerate() {
        // From whatever address.
        let refused = log_in(&format!("192.0.2.{n}"), name, "guess").await;
        refused.is_problem(ErrorCode::Unauthorized);
    }
    let right = log_in("192.0.2.10", &name, PASSWORD).await;
    let wrong = log_in("192.0.2.11", &name.to_uppercase(), "guess").await;
    let unknown = log_in("192.0.2.12", &nobody, "guess").await;
    assert_eq!((told(&right), told(&wrong)), (told(&unknown), told(&unknown)));

    // On her own device she is not kept out, and others are no wiser.
    let device = |id: &Value| json!({"username": name, "password": PASSWORD, "device": {"id": id}});
    let own = post("192.0.2.13", "/v1/login", &device(&session["device"])).await;
    assert_eq!(own.status, 200, "{own:?}");
    let other = json!(schemas::DeviceId::mint());
    is_limited(&post("192.0.2.14", "/v1/login", &device(&other)).await);
}

#[tokio::test]
async fn wrong_ones_on_a_device_wait_for_each_other() {
    let (name, session) = registered().await;
    let device = &session["device"];
    let log_in = async |password: &str| {
        let login = json!({"username": name, "password": password, "device": {"id": device}});
        post("192.0.2.20", "/v1/login", &login).await
    };
    for _ in 0..2 {
        log_in("guess").await.is_problem(ErrorCode::Unauthorized);
    }
    // The right one is a new start.
    assert_eq!(log_in(PASSWORD).await.status, 200);
    for _ in 0..3 {
        log_in("guess").await.is_problem(ErrorCode::Unauthorized);
    }
    is_limited(&log_in(PASSWORD).await);
    // At the name's own door nobody was.
    assert_eq!(super::log_in("192.0.2.20", &name, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn wrong_ones_from_an_address_make_it_wait_whatever_the_name() {
    let (name, _) = registered().await;
    for n in 0..10 {
        let guess = log_in("192.0.2.30", &format!("g{n}-{}", Ulid::generate()), PASSWORD).await;
        guess.is_problem(ErrorCode::Unauthorized);
        // Those that are right do not make up for them.
        if n < 5 {
            assert_eq!(log_in("192.0.2.30", &name, PASSWORD).await.status, 200);
        }
    }
    is_limited(&log_in("192.0.2.30", &name, PASSWORD).await);
    assert_eq!(log_in("192.0.2.31", &name, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn logins_are_counted_right_or_wrong() {
    let (name, session) = registered().await;
    let login =
        json!({"username": name, "password": PASSWORD, "device": {"id": session["device"]}});
    for _ in 0..100 {
        assert_eq!(post("192.0.2.40", "/v1/login", &login).await.status, 200);
    }
    is_limited(&post("192.0.2.40", "/v1/login", &login).await);
}
