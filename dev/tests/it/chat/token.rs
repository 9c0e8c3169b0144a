//! The session's token: it ends the session, unless a newer one takes its place.

use std::time::Duration;

use schemas::CloseCode;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    people::{FIRST, Line, Person, SECOND},
    support::{self, undisturbed},
};

/// A line whose token is good for two more seconds at most, and the end of that.
async fn short_lived(person: &Person) -> (Line, Instant) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let ends = now.as_secs() + 2;
    let token = support::resign(person.account.token(), |claims| claims["exp"] = json!(ends));
    let left = Duration::from_secs(ends) - now;
    let mut line = person.open(FIRST).await;
    line.say_hello(&token, 0).await;
    line.hears().await;
    line.catches_up().await;
    (line, Instant::now() + left)
}

async fn renews(line: &mut Line, token: &str) {
    line.say(json!({"type": "auth", "token": token})).await;
}

#[tokio::test]
async fn without_a_newer_token_the_session_ends_with_its_own() {
    undisturbed(async || {
        let [alice] = Person::several().await;
        let (mut line, end) = short_lived(&alice).await;
        line.is_quiet().await;
        line.is_closed(CloseCode::Unauthorized).await;
        let late = Instant::now().saturating_duration_since(end);
        assert!(late < Duration::from_secs(2), "{late:?} late");
    })
    .await;
}

#[tokio::test]
async fn a_newer_token_is_taken_without_a_word_and_the_session_lives_on() {
    let [alice] = Person::several().await;
    let (mut line, end) = short_lived(&alice).await;
    let newer = alice.account.api.refresh(&alice.account.session.refresh_token).await.unwrap();
    renews(&mut line, newer.token()).await;
    line.is_quiet().await;
    sleep_until(end + Duration::from_millis(500)).await;
    line.is_quiet().await;
}

#[tokio::test]
async fn any_other_token_closes() {
    let [alice, bob] = Person::several().await;
    let revoked = alice.account.token().to_owned();
    let alice = alice.log_in(Some(alice.device())).await;
    let desk = alice.link().await;
    let expired = support::resign(alice.account.token(), |claims| claims["exp"] = json!(1_000));
    let tokens = [
        bob.account.token(),
        desk.account.token(),
        &alice.account.session.refresh_token,
        &revoked,
        &expired,
        "nonsense",
        "",
    ];
    for token in tokens {
        let mut line = alice.connect(SECOND).await;
        renews(&mut line, token).await;
        line.is_closed(CloseCode::Unauthorized).await;
    }
}
