//! Other people's public profiles, in bulk.

use schemas::{ErrorCode, UserId};
use serde_json::{Value, json};

use super::{Answer, call};
use crate::people::Person;

async fn look_up(person: &Person, query: &str) -> Answer {
    call("GET", &format!("/v1/users{query}"), Some(person.account.token()), None).await
}

fn profile(person: &Person) -> Value {
    json!({"id": person.user(), "username": person.name, "name": person.name, "picture": null})
}

#[tokio::test]
async fn users_are_found_by_id_in_the_order_asked_for_and_once() {
    let [alice, bob, carol] = Person::several().await;
    let (a, b, c) = (alice.user(), bob.user(), carol.user());
    let unknown = UserId::mint();
    for (ids, expected) in [
        (format!("{c},{a},{b}"), vec![&carol, &alice, &bob]),
        (format!("{b}"), vec![&bob]),
        (format!("{b},{unknown},{b},{a}"), vec![&bob, &alice]),
        (format!("{unknown}"), vec![]),
        (String::new(), vec![]),
    ] {
        let answer = look_up(&alice, &format!("?ids={ids}")).await;
        let expected: Vec<_> = expected.into_iter().map(profile).collect();
        assert_eq!((answer.status, answer.json()), (200, json!({"items": expected})), "{ids}");
    }
}

#[tokio::test]
async fn a_user_is_found_by_the_whole_name_in_any_case() {
    let [alice, bob] = Person::several().await;
    for name in [bob.name.clone(), bob.name.to_lowercase(), bob.name.to_uppercase()] {
        let answer = look_up(&alice, &format!("?username={name}")).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"items": [profile(&bob)]})));
    }
    let part = &bob.name[..bob.name.len() - 1];
    let answer = look_up(&alice, &format!("?username={part}")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"items": []})));
}

#[tokio::test]
async fn at_most_a_hundred_are_looked_up_at_once() {
    let [alice] = Person::several().await;
    let ids = |count: usize| {
        let others = (1..count).map(|_| UserId::mint().to_string());
        others.chain([alice.user().to_string()]).collect::<Vec<_>>().join(",")
    };
    let answer = look_up(&alice, &format!("?ids={}", ids(100))).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"items": [profile(&alice)]})));
    look_up(&alice, &format!("?ids={}", ids(101))).await.is_problem(ErrorCode::Invalid);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_invalid() {
    let [alice] = Person::several().await;
    let id = alice.user();
    for query in [
        "".into(),
        "?".into(),
        "?name=x".into(),
        format!("?ids={id}&username={}", alice.name),
        "?ids=x".into(),
        format!("?ids={id},x"),
        format!("?ids={id}%20{id}"),
        "?username=".into(),
        "?username=a%20b".into(),
        "?username=%FF".into(),
        format!("?username={}", "x".repeat(65)),
        format!("?ids={id}&ids={id}"),
    ] {
        let answer = look_up(&alice, &query).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        answer.is_problem(ErrorCode::Invalid);
    }
}
