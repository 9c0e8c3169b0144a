//! What every call has in common: it is there, and says what is wrong with it.

use schemas::{
    DeviceId, ErrorCode, GroupId, MediaId, UserId,
    limits::CLIENT_FRAME_BYTES,
    publish::{Content, Method, Operation, Place, operations},
};

use serde_json::json;

use super::{Answer, call};
use crate::people::Person;

/// The path with an id of the right kind that nobody has.
fn path(operation: &Operation) -> String {
    let id = match operation.path.split('/').nth(2) {
        Some("groups") => GroupId::mint().to_string(),
        Some("media") => MediaId::mint().to_string(),
        _ => DeviceId::mint().to_string(),
    };
    let path = operation.path.replace("{id}", &id).replace("{user}", &UserId::mint().to_string());
    // There is nothing to wait for.
    if operation.id == "inbox" { path + "?wait=0" } else { path }
}

async fn ask(operation: &Operation, path: &str, token: Option<&str>, body: Option<&str>) -> Answer {
    call(operation.method.as_str(), path, token, body).await
}

#[tokio::test]
async fn every_operation_is_served() {
    let [alice] = Person::several().await;
    // Its token is for the logout.
    let desk = alice.link().await;
    for operation in operations() {
        let person = if operation.id == "logout" { &desk } else { &alice };
        let path = path(operation);
        let answer = ask(operation, &path, Some(person.account.token()), Some("")).await;
        assert!(!answer.text.contains("no such path"), "{}: {answer:?}", operation.id);
        // Whatever else it says to that is published, too.
        let refusals: Vec<_> = operation.refusals().map(|refusal| refusal.status).collect();
        let is_published =
            answer.status == operation.answer.status || refusals.contains(&answer.status);
        assert!(is_published, "{}: {answer:?}", operation.id);
        if let Content::Document(kind) = &operation.answer.content {
            let told = answer.header("content-type").unwrap();
            assert_eq!(told.split(';').next(), Some(*kind), "{}", operation.id);
        }
    }
    let again = call("POST", "/v1/logout", Some(desk.account.token()), None).await;
    again.is_problem(ErrorCode::Unauthorized);
}

#[tokio::test]
async fn without_a_good_token_nothing_is_told() {
    for operation in operations().iter().filter(|operation| operation.signed_in) {
        for token in [None, Some(""), Some("nonsense"), Some("a.b.c")] {
            let answer = ask(operation, &path(operation), token, Some("{}")).await;
            answer.is_problem(ErrorCode::Unauthorized);
        }
        // Neither where the rest is bad, too.
        let bad = operation.path.replace("{id}", "x").replace("{user}", "x");
        ask(operation, &bad, None, Some("x")).await.is_problem(ErrorCode::Unauthorized);
    }
}

#[tokio::test]
async fn a_body_that_is_none_is_a_bad_frame() {
    let [alice] = Person::several().await;
    let token = Some(alice.account.token());
    let mistyped = json!({
        "username": 7, "name": 7, "password": 7, "refresh_token": 7, "role": 7, "id": 7,
        "seq": "7", "chat": 7, "mime": 7, "size": 7,
    });
    let deep = "[".repeat(50_000);
    for operation in operations() {
        let Some(request) = operation.request.filter(|request| request.is_json()) else { continue };
        let bodies = ["x", "[]", "7", "null", "\"x\"", "{", "{}x", "\0", &deep];
        // Some may be left out.
        let none = request.required.then_some("");
        for body in bodies.into_iter().chain(none).chain([mistyped.to_string().as_str()]) {
            let answer = ask(operation, &path(operation), token, Some(body)).await;
            assert_eq!(answer.status, 400, "{} {body:.20}: {answer:?}", operation.id);
            answer.is_problem(ErrorCode::BadFrame);
        }
    }
}

#[tokio::test]
async fn a_body_has_at_most_64_kib() {
    let [alice] = Person::several().await;
    let is_json =
        |operation: &&Operation| operation.request.is_some_and(|request| request.is_json());
    let bodies = operations().iter().filter(is_json);
    for operation in bodies {
        for (length, code) in [
            (CLIENT_FRAME_BYTES, ErrorCode::BadFrame),
            (CLIENT_FRAME_BYTES + 1, ErrorCode::TooLarge),
            (5_000_000, ErrorCode::TooLarge),
        ] {
            let body = "x".repeat(length);
            let answer =
                ask(operation, &path(operation), Some(alice.account.token()), Some(&body)).await;
            answer.is_problem(code);
        }
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_is_invalid() {
    let [alice] = Person::several().await;
    let with_ids = operations()
        .iter()
        .filter(|operation| operation.parameters.iter().any(|part| part.place == Place::Path));
    for operation in with_ids {
        let long = "x".repeat(10_000);
        let upper = UserId::mint().to_string().to_uppercase();
        for id in
            ["x", "*", "%3E", "u_*", "d_*", "a.b", "%00", "%20", "%2F", "..%2F..", &long, &upper]
        {
            let path = operation.path.replace("{id}", id).replace("{user}", id);
            let answer = ask(operation, &path, Some(alice.account.token()), None).await;
            assert_eq!(answer.status, 400, "{} {path:.40}: {answer:?}", operation.id);
            if operation.method != Method::Head {
                answer.is_problem(ErrorCode::Invalid);
            }
        }
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_problems_too() {
    let [alice] = Person::several().await;
    for path in
        ["/", "/v1", "/v1/", "/v1/me/", "/v2/me", "/metrics", "/live", "/v1/users/x", "/%00"]
    {
        call("GET", path, Some(alice.account.token()), None).await.is_problem(ErrorCode::NotFound);
    }
    for operation in operations() {
        let path = path(operation);
        let answer = call("TRACE", &path, Some(alice.account.token()), None).await;
        answer.is_problem_with(405, ErrorCode::Invalid);
        assert!(answer.header("allow").unwrap().contains(operation.method.as_str()), "{answer:?}");
    }
}

#[tokio::test]
async fn no_cache_keeps_what_is_personal() {
    let [alice] = Person::several().await;
    for operation in operations() {
        // Its token is needed for the others.
        let token = (operation.id != "logout").then(|| alice.account.token());
        let answer = ask(operation, &path(operation), token, Some("{}")).await;
        let is_personal = operation.path.starts_with("/v1/");
        assert_eq!(answer.header("cache-control"), is_personal.then_some("no-store"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_scheme_of_a_token_has_no_case() {
    let [alice] = Person::several().await;
    let stack = crate::support::shared_stack().await;
    for (scheme, status) in
        [("Bearer", 200), ("bearer", 200), ("BEARER", 200), ("Basic", 401), ("", 401)]
    {
        let request = reqwest::Client::new().get(format!("{}/v1/me", stack.gateways()[0].url()));
        let header = format!("{scheme} {}", alice.account.token());
        let answer = request.header("authorization", header).send().await.unwrap();
        assert_eq!(answer.status(), status, "{scheme}");
    }
}
