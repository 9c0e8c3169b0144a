//! Tokens that are no good.

use schemas::{CloseCode, DeviceId, ErrorCode, UserId};
use serde_json::json;

use crate::{
    people::{FIRST, Person, SECOND},
    support,
};

/// Neither a socket nor a call takes it, at either gateway.
async fn check_refused(person: &Person, token: &str) {
    for gateway in [FIRST, SECOND] {
        let mut line = person.open(gateway).await;
        line.say_hello(token, 0).await;
        line.is_closed(CloseCode::Unauthorized).await;
        let mut account = person.at(gateway);
        account.session.access_token = token.to_owned();
        let refused = account.me().await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::Unauthorized), "{token}");
    }
}

#[tokio::test]
async fn forged_expired_and_foreign_tokens_are_refused() {
    let [alice] = Person::several().await;
    let good = alice.account.token();
    let parts: Vec<&str> = good.split('.').collect();
    let &[header, payload, signature] = &parts[..] else { panic!("{good}") };
    let claims = |change: &dyn Fn(&mut serde_json::Value)| support::resign(good, change);
    let mut own = json!(null);
    support::resign(good, |claims| own = claims.clone());
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        "x".repeat(20_000),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{}", &signature[1..]),
        unsigned,
        support::sign(&own, b"another key, as long as it has to be"),
        support::sign(&own, b""),
        claims(&|claims| claims["exp"] = json!(1)),
        claims(&|claims| claims["exp"] = json!(-1)),
        claims(&|claims| claims["use"] = json!("refresh")),
        claims(&|claims| claims["use"] = json!("admin")),
        claims(&|claims| claims["sub"] = json!(UserId::mint())),
        claims(&|claims| claims["sub"] = json!("u_*")),
        claims(&|claims| claims["dev"] = json!(DeviceId::mint())),
        claims(&|claims| claims["fam"] = json!("00000000000000000000000000000000")),
        alice.account.session.refresh_token.clone(),
    ] {
        check_refused(&alice, &token).await;
    }
    // The way they were made is not what is wrong with them.
    let mut line = alice.open(FIRST).await;
    line.say_hello(&claims(&|_| {}), 0).await;
    line.hears().await;
    line.catches_up().await;
}

#[tokio::test]
async fn the_tokens_of_an_earlier_login_are_refused() {
    let [alice] = Person::several().await;
    let mut line = alice.connect(SECOND).await;
    let again = alice.log_in(Some(alice.device())).await;
    assert_eq!(again.device(), alice.device());
    check_refused(&alice, alice.account.token()).await;
    let renewed = alice.account.api.refresh(&alice.account.session.refresh_token).await;
    assert_eq!(renewed.unwrap_err().code(), Some(ErrorCode::Unauthorized));
    // A socket that was opened with one is as bad.
    line.is_closed(CloseCode::Unauthorized).await;
    again.hello(FIRST).await.catches_up().await;
}
