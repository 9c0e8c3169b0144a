//! What counts per user.

use reqwest::Method;
use schemas::{
    CloseCode, DeviceId, ErrorCode, GroupId, MediaId,
    publish::{Operation, Tag, operations},
    server::Frame,
};
use serde_json::{Value, json};

use super::{is_limited, request, stack};
use crate::{
    http::Answer,
    people::{FIRST, Line, Person, ids, text, with},
};

/// That a frame was refused for how often there were such; what it was about.
async fn hears_limited(line: &mut Line) -> String {
    let Frame::Error(error) = line.hears().await else { panic!("{line}") };
    assert_eq!(error.code, ErrorCode::RateLimited);
    // At most three have to come back, an hour each.
    assert!((1..=3 * 3_600_000).contains(&error.retry_after_ms.unwrap()), "{error:?}");
    error.reference.unwrap()
}

async fn group(people: &[&Person]) -> GroupId {
    let members: Vec<_> = people.iter().map(|person| person.user()).collect();
    let new = json!({"name": "club", "members": members});
    let group: schemas::http::Group =
        people[0].account.post("v1/groups", Some(&new)).await.unwrap();
    group.id
}

#[tokio::test]
async fn a_group_message_counts_its_members() {
    let stack = stack().await;
    let [alice, bob, carol, dave] = Person::several_on(stack).await;
    let all = group(&[&alice, &bob, &carol, &dave]).await;
    let two = group(&[&alice, &bob]).await;
    let mut a = alice.hello(FIRST).await;
    a.catches_up().await;
    let to = |id: &str, chat: GroupId| with(text(id, &bob, "hi"), "chat", chat);

    // Three of five; two are left.
    a.sends(to("m1", all)).await;
    a.say(to("m2", all)).await;
    a.say(to("m3", all)).await;
    assert_eq!(hears_limited(&mut a).await, "m2");
    // The chat is held for the first one that was refused; others are not.
    assert_eq!(hears_limited(&mut a).await, "m3");
    assert_eq!(a.is_refused(to("m3", all)).await, ErrorCode::RateLimited);
    a.sends(text("m4", &bob, "hi")).await;
    a.sends(to("m5", two)).await;
    a.sends(to("m6", two)).await;
    a.say(to("m7", two)).await;
    assert_eq!(hears_limited(&mut a).await, "m7");
    // Dropped, it holds nothing: the next is refused for itself.
    a.say(json!({"type": "drop", "id": "m2"})).await;
    a.say(to("m8", all)).await;
    assert_eq!(hears_limited(&mut a).await, "m8");
    // Nothing of what was refused has come.
    assert_eq!(ids(&dave.fetch(FIRST).await.items)[1..], ["m1"]);
}

#[tokio::test]
async fn who_connects_too_often_is_closed_with_4429() {
    let [alice, bob] = Person::several_on(stack().await).await;
    for _ in 0..3 {
        alice.connect(FIRST).await.hangs_up().await;
    }
    let mut line = alice.open(FIRST).await;
    line.say_hello(alice.account.token(), 0).await;
    line.is_closed(CloseCode::RateLimited).await;
    // A hello that nobody proved to be theirs is not theirs.
    for _ in 0..4 {
        let mut line = bob.open(FIRST).await;
        line.say_hello("forged", 0).await;
        line.is_closed(CloseCode::Unauthorized).await;
    }
    bob.connect(FIRST).await;
}

#[tokio::test]
async fn a_flood_of_frames_closes_with_4429() {
    let [alice] = Person::several_on(stack().await).await;
    let mut line = alice.connect(FIRST).await;
    // The last is one too many, though it asks for nothing.
    for _ in 0..301 {
        line.say(json!({"type": "ack", "seq": 0})).await;
    }
    line.is_closed(CloseCode::RateLimited).await;
}

#[tokio::test]
async fn frames_are_refused_by_their_type_and_typing_is_shed() {
    let [alice, bob] = Person::several_on(stack().await).await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(FIRST).await);
    for frame in [
        json!({"type": "read", "chat": bob.user(), "marks": {}}),
        json!({"type": "auth", "token": alice.account.token()}),
    ] {
        for _ in 0..2 {
            a.say(frame.clone()).await;
        }
        a.is_quiet().await;
        a.say(frame.clone()).await;
        assert_eq!(json!(hears_limited(&mut a).await), frame["type"]);
    }
    let watch = json!({"type": "watch", "users": []});
    for _ in 0..3 {
        a.say(watch.clone()).await;
    }
    // Whatever the first two are answered.
    while hears_error_of_watch(&mut a).await != ErrorCode::RateLimited {}

    for on in [true, false, true, false, true] {
        a.types(bob.chat(), on).await;
    }
    a.sends(text("m1", &bob, "hi")).await;
    // Typing waits for nothing, and nothing waits for it.
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(matches!(b.hears().await, Frame::Typing { .. }));
    }
    heard.sort_unstable();
    assert_eq!(heard, [false, true, true]);
    b.is_quiet().await;
    // Tokens are renewed on HTTP, too.
    let refused = alice.account.api.refresh(&alice.account.session.refresh_token).await;
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::RateLimited));
}

async fn hears_error_of_watch(line: &mut Line) -> ErrorCode {
    loop {
        match line.hears().await {
            Frame::Error(error) => {
                assert_eq!(error.reference.as_deref(), Some("watch"));
                return error.code;
            }
            Frame::Presence { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A body that the call takes.
fn body(operation: &Operation, person: &Person) -> Option<Value> {
    let body = match operation.id {
        "createGroup" => json!({"name": "club", "members": []}),
        "token" => json!({"refresh_token": person.account.session.refresh_token}),
        "send" => text("m1", person, "a note to self"),
        "reserveMedia" => json!({"name": "a", "mime": "text/plain", "size": 1}),
        "ackInbox" => json!({"seq": 0}),
        "setPush" => json!({"kind": "fcm", "token": "t"}),
        "read" => json!({"chat": person.user(), "marks": {}}),
        _ => json!({}),
    };
    operation.request.as_ref().map(|_| body)
}

#[tokio::test]
async fn every_call_of_a_user_is_limited() {
    let limited = operations().iter().filter(|operation| {
        let is_users = operation.signed_in || operation.id == "token";
        // Whoever wants to be out is to be let out.
        is_users && operation.id != "logout"
    });
    for operation in limited {
        let [alice, bob] = Person::several_on(stack().await).await;
        let id = match operation.tag {
            Tag::Groups => group(&[&bob]).await.to_string(),
            Tag::Media => MediaId::mint().to_string(),
            _ => DeviceId::mint().to_string(),
        };
        let path = operation.path.replace("{id}", &id).replace("{user}", &bob.user().to_string());
        let path = if operation.id == "inbox" { path + "?wait=0" } else { path };
        let method = Method::from_bytes(operation.method.as_str().as_bytes()).unwrap();
        let call = async || {
            let request = request("203.0.113.2", method.clone(), &path).await;
            let request = request.bearer_auth(alice.account.token());
            let body = body(operation, &alice).map(|body| body.to_string());
            Answer::to(request.body(body.unwrap_or_default())).await
        };
        for _ in 0..if operation.id == "send" { 10 } else { 2 } {
            let answer = call().await;
            assert_ne!(answer.status, 429, "{}", operation.id);
        }
        is_limited(&call().await);
    }
}
