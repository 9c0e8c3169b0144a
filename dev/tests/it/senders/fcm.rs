//! Firebase Cloud Messaging.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn google_reads_that_there_is_something_and_a_preview_only_where_one_is_wanted() {
    let world = World::new(&[]).await;
    let android = world.receiver.android();
    assert_eq!(world.send(&android, &notification()).await, Outcome::Sent);
    let push = world.receiver.next(&android).await.unwrap();
    assert_eq!(push.payload, serde_json::json!({"type": "messages", "badge": "3"}));

    let with = with_preview();
    assert_eq!(world.send(&android, &with).await, Outcome::Sent);
    let push = world.receiver.next(&android).await.unwrap();
    assert_eq!((push.chat, push.preview), (Some(with.chat), with.preview));
    assert_eq!(world.receiver.complaints(), [""; 0]);
}

#[tokio::test]
async fn many_at_once_fetch_one_access_token() {
    let world = World::new(&[]).await;
    let android = world.receiver.android();
    let notification = notification();
    let sends = join_all((0..8).map(|_| world.send(&android, &notification))).await;
    assert!(sends.iter().all(|outcome| *outcome == Outcome::Sent), "{sends:?}");
    assert_eq!(world.receiver.granted(), 1);
}

#[tokio::test]
async fn a_token_that_was_revoked_is_replaced_and_the_message_sent_again() {
    let world = World::new(&[]).await;
    let android = world.receiver.android();
    assert_eq!(world.send(&android, &notification()).await, Outcome::Sent);
    world.receiver.expire_tokens();
    let notification = notification();
    let sends = join_all((0..8).map(|_| world.send(&android, &notification))).await;
    assert!(sends.iter().all(|outcome| *outcome == Outcome::Sent), "{sends:?}");
    assert_eq!(world.receiver.granted(), 2);
    // One that is refused again is not replaced so soon, by however many sends.
    world.receiver.expire_tokens();
    for _ in 0..3 {
        let outcome = world.send(&android, &notification).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
    assert_eq!(world.receiver.granted(), 2);
}

#[tokio::test]
async fn each_answer_means_something() {
    let world = World::new(&[]).await;
    let android = world.receiver.android();
    let answered = async |answer| world.answered(&android, answer).await;
    assert_eq!(answered(Answer::code(404, "UNREGISTERED")).await, Outcome::Gone);
    for (status, code) in
        [(403, "SENDER_ID_MISMATCH"), (400, "INVALID_ARGUMENT"), (404, ""), (401, "")]
    {
        // Refused credentials are tried once more with a new token.
        if status == 401 {
            world.receiver.answer(&android, [Answer::status(401)]);
        }
        let outcome = answered(Answer::code(status, code)).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{status} {code} {outcome:?}");
    }
    let minute = Some(Duration::from_secs(60));
    assert_eq!(answered(Answer::code(429, "QUOTA_EXCEEDED")).await, Outcome::Later(minute));
    assert_eq!(answered(Answer::wait(503, "60")).await, Outcome::Later(minute));
    for answer in [Answer::code(503, "UNAVAILABLE"), Answer::status(500), Answer::Reset] {
        assert_eq!(answered(answer).await, Outcome::Later(None));
    }
    assert_eq!(answered(Answer::Accept).await, Outcome::Sent);
}

#[tokio::test]
async fn without_an_access_token_all_wait_and_only_one_asks() {
    let world = World::new(&[]).await;
    let android = world.receiver.android();
    // A second request for a token would be granted.
    world.receiver.answer_tokens([Answer::status(503)]);
    let notification = notification();
    let sends = join_all((0..4).map(|_| world.send(&android, &notification))).await;
    assert!(sends.iter().all(|outcome| *outcome == Outcome::Later(None)), "{sends:?}");
    assert_eq!((world.receiver.granted(), world.receiver.requests(&android)), (0, 0));
}

#[tokio::test]
async fn an_account_that_google_does_not_know_is_refused() {
    let world = World::new(&[]).await;
    let android = world.receiver.android();
    world.receiver.answer_tokens([Answer::code(400, "invalid_grant")]);
    let outcome = world.send(&android, &notification()).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}
