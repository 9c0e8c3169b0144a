//! What is said before the hello, or instead of it.

use std::time::Duration;

use schemas::CloseCode;
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    people::{FIRST, Person, SECOND, text},
    support::undisturbed,
};

#[tokio::test]
async fn anything_before_the_hello_closes() {
    let [alice, bob] = Person::several().await;
    let token = alice.account.token();
    for said in [
        text("m1", &bob, "hi").to_string(),
        json!({"type": "ping"}).to_string(),
        json!({"type": "ack", "seq": 1}).to_string(),
        json!({"type": "auth", "token": token}).to_string(),
        json!({"type": "what"}).to_string(),
        json!({"type": "hello"}).to_string(),
        json!({"type": "hello", "token": 7}).to_string(),
        json!({"type": "hello", "token": token, "receipts_after": "0"}).to_string(),
        json!({"type": "hello", "token": token, "receipts_after": -1}).to_string(),
        json!([{"type": "hello", "token": token}]).to_string(),
        "hello".into(),
        String::new(),
    ] {
        let mut line = alice.open(FIRST).await;
        line.say_text(said).await;
        line.is_closed(CloseCode::Misuse).await;
    }
    let mut line = alice.open(FIRST).await;
    let hello = json!({"type": "hello", "token": token}).to_string();
    line.socket.send_message(Message::binary(hello.into_bytes())).await.unwrap();
    line.is_closed(CloseCode::Misuse).await;
}

#[tokio::test]
async fn without_a_hello_the_socket_closes_after_ten_seconds() {
    undisturbed(async || {
        let [alice] = Person::several().await;
        let begun = Instant::now();
        let mut silent = alice.open(FIRST).await;
        let mut pings = alice.open(SECOND).await;
        pings.socket.send_message(Message::Ping("I am here".into())).await.unwrap();
        let (a, b) = (silent.is_closed(CloseCode::Silent), pings.is_closed(CloseCode::Silent));
        tokio::join!(a, b);
        let waited = begun.elapsed();
        assert!(
            waited > Duration::from_millis(9_500) && waited < Duration::from_secs(15),
            "{waited:?}"
        );
    })
    .await;
}
