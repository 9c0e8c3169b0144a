//! How a poll waits, and what ends its wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemas::{DeviceId, ErrorCode};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{LONG, Waiting, acks, code, polls, polls_for, sends};
use crate::{
    people::{FIRST, PATIENCE, Person, SECOND, ids, text},
    support,
};

#[tokio::test]
async fn a_message_through_any_gateway_ends_the_wait() {
    let [alice, bob] = Person::several().await;
    let mut waiting = Waiting::of(support::shared_stack().await, &bob).await;
    for (n, gateway) in [FIRST, SECOND].into_iter().enumerate() {
        let account = bob.at(FIRST);
        let send = async {
            waiting.one_more().await;
            sends(&alice.at(gateway), text(format!("m{n}"), &bob, "hi")).await.unwrap()
        };
        let began = Instant::now();
        let (items, sent) = tokio::join!(polls(&account, LONG), send);
        let items = items.unwrap();
        assert_eq!((ids(&items), items[0].ts), (vec![sent.id.as_str()], sent.ts));
        assert!(began.elapsed() < Duration::from_secs(LONG), "it came with the message");
        acks(&account, items[0].seq).await.unwrap();
    }
}

#[tokio::test]
async fn without_a_message_the_answer_is_empty_when_the_time_is_up() {
    let [alice] = Person::several().await;
    for (wait, gateway) in [(0, FIRST), (1, SECOND)] {
        let began = Instant::now();
        assert_eq!(polls(&alice.at(gateway), wait).await.unwrap(), []);
        assert!(began.elapsed() >= Duration::from_secs(wait));
    }
}

#[tokio::test]
async fn an_answer_has_what_was_asked_for_and_at_most_256_kib() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let words = "x".repeat(8_000);
    for n in 0..70 {
        a.sends(text(format!("m{n}"), &bob, &words)).await;
    }
    let account = bob.at(SECOND);
    for limit in [1, 7, 64] {
        let answer = crate::http::call_at(
            account.api.base().as_str(),
            "GET",
            &format!("v1/inbox?limit={limit}"),
            Some(account.token()),
            None,
        )
        .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.text.len() <= 256 * 1024, "{} bytes", answer.text.len());
        let items = answer.json()["items"].as_array().unwrap().len();
        assert_eq!(items, limit.min(32), "of {} bytes", answer.text.len());
    }
    // Each poll goes on where the acknowledgement left off.
    let mut all = Vec::new();
    while all.len() < 70 {
        let items = polls_for(&account, 0, 13).await.unwrap();
        acks(&account, items[items.len() - 1].seq).await.unwrap();
        all.extend(items);
    }
    let expected: Vec<_> = (0..70).map(|n| format!("m{n}")).collect();
    assert_eq!(ids(&all), expected);
}

#[tokio::test]
async fn one_poll_of_a_device_waits_and_the_newer_one_stays() {
    let [alice, bob] = Person::several().await;
    let desk = bob.link().await;
    let mut waiting = Waiting::of(support::shared_stack().await, &bob).await;
    for gateway in [FIRST, SECOND] {
        let older = waiting.poll(&bob, FIRST).await;
        let other = waiting.poll(&desk, FIRST).await;
        let newer = waiting.poll(&bob, gateway).await;
        let left = timeout(PATIENCE, older).await.unwrap().unwrap().unwrap();
        assert_eq!(left, [], "the older one leaves");

        sends(&alice.at(SECOND), text(format!("m{gateway}"), &bob, "hi")).await.unwrap();
        for (device, poll) in [(&bob, newer), (&desk, other)] {
            let items = timeout(PATIENCE, poll).await.unwrap().unwrap().unwrap();
            assert_eq!(ids(&items), [format!("m{gateway}")]);
            acks(&device.at(FIRST), items[0].seq).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_device_that_is_unlinked_or_revoked_waits_no_longer() {
    let [alice] = Person::several().await;
    let (unlinked, revoked) = (alice.link().await, alice.link().await);
    let mut waiting = Waiting::of(support::shared_stack().await, &alice).await;
    let first = waiting.poll(&unlinked, SECOND).await;
    let second = waiting.poll(&revoked, SECOND).await;
    let stays = waiting.poll(&alice, SECOND).await;

    alice.account.unlink(unlinked.device()).await.unwrap();
    assert_eq!(code(timeout(PATIENCE, first).await.unwrap().unwrap()), ErrorCode::Unauthorized);

    // A refresh token is used again although a later one was used.
    let stolen = &revoked.account.session.refresh_token;
    let newer = revoked.account.api.refresh(stolen).await.unwrap();
    newer.api.refresh(&newer.session.refresh_token).await.unwrap();
    assert_eq!(code(revoked.account.api.refresh(stolen).await), ErrorCode::Unauthorized);
    assert_eq!(code(timeout(PATIENCE, second).await.unwrap().unwrap()), ErrorCode::Unauthorized);

    assert!(!stays.is_finished());
    sends(&alice.at(FIRST), text("m1", &alice, "to self")).await.unwrap();
    assert_eq!(ids(&timeout(PATIENCE, stays).await.unwrap().unwrap().unwrap()), ["m1"]);
}

#[tokio::test]
async fn a_token_that_ends_during_the_wait_ends_it() {
    let [alice] = Person::several().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut account = alice.at(FIRST);
    account.session.access_token =
        support::resign(account.token(), |claims| claims["exp"] = json!(now.as_secs() + 2));
    let began = Instant::now();
    assert_eq!(code(polls(&account, LONG).await), ErrorCode::Unauthorized);
    assert!(began.elapsed() < Duration::from_secs(LONG));
}

#[tokio::test]
async fn a_gateway_that_leaves_answers_at_once_and_ends_the_connection() {
    let stack = support::stack().gateways(2).start().await.unwrap();
    let [alice, bob] = Person::several_on(&stack).await;
    let mut waiting = Waiting::of(&stack, &bob).await;
    let leaving = &stack.gateways()[FIRST];
    let (url, token) = (leaving.url(), bob.account.token().to_owned());
    let poll = tokio::spawn(async move {
        crate::http::call_at(&url, "GET", "/v1/inbox?wait=60", Some(&token), None).await
    });
    waiting.one_more().await;
    leaving.terminate();
    let answer = timeout(PATIENCE, poll).await.unwrap().unwrap();
    assert_eq!((answer.status, &answer.text[..]), (200, r#"{"items":[]}"#));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(leaving.exited().await.is_some_and(|status| status.success()));

    sends(&alice.at(SECOND), text("m1", &bob, "hi")).await.unwrap();
    assert_eq!(ids(&polls(&bob.at(SECOND), LONG).await.unwrap()), ["m1"]);
}

#[tokio::test]
async fn a_killed_gateway_loses_its_polls_and_nothing_else() {
    let stack = support::stack().gateways(2).limits(false).start().await.unwrap();
    let people: [Person; 8] = Person::several_on(&stack).await;
    let [alice, others @ ..] = &people;
    let mut polling = Vec::new();
    for other in others {
        let mut waiting = Waiting::of(&stack, other).await;
        polling.push(waiting.poll(other, FIRST).await);
    }
    stack.gateways()[FIRST].kill9().await;
    for poll in polling {
        let lost = timeout(PATIENCE, poll).await.unwrap().unwrap();
        assert!(lost.is_err_and(|error| error.code().is_none()), "there is no answer");
    }
    for other in others {
        let account = other.at(SECOND);
        let sender = alice.at(SECOND);
        let sent = sends(&sender, text("m1", other, "hi"));
        let (items, sent) = tokio::join!(polls(&account, LONG), sent);
        let (items, sent) = (items.unwrap(), sent.unwrap());
        assert_eq!((ids(&items), items[0].ts), (vec!["m1"], sent.ts));
        acks(&account, items[0].seq).await.unwrap();
    }
}

#[tokio::test]
async fn impossible_values_are_invalid() {
    let [alice] = Person::several().await;
    for query in [
        "wait=61",
        "wait=-1",
        "wait=x",
        "wait=",
        "wait=1.5",
        "wait=1&wait=2",
        "limit=0",
        "limit=65",
        "limit=-1",
        "limit=",
        "limit=x",
        "wait=99999999999999999999",
    ] {
        let refused = alice.account.get::<serde_json::Value>(&format!("v1/inbox?{query}")).await;
        assert_eq!(code(refused), ErrorCode::Invalid, "{query}");
    }
    for query in ["wait=0&limit=1", "wait=0&limit=64", "wait=0&more=x"] {
        alice.account.get::<serde_json::Value>(&format!("v1/inbox?{query}")).await.unwrap();
    }
    // Nobody is told what is impossible without a token.
    let nobody = DeviceId::mint();
    let mut account = alice.at(FIRST);
    account.session.access_token = nobody.to_string();
    let refused = account.get::<serde_json::Value>("v1/inbox?wait=61").await;
    assert_eq!(code(refused), ErrorCode::Unauthorized);
}
