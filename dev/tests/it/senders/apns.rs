//! The Apple Push Notification service.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn apple_reads_that_there_is_something_and_a_preview_only_where_one_is_wanted() {
    let world = World::new(&[]).await;
    let iphone = world.receiver.iphone();
    assert_eq!(world.send(&iphone, &notification()).await, Outcome::Sent);
    let push = world.receiver.next(&iphone).await.unwrap();
    let expected = serde_json::json!({
        "aps": {
            "alert": {"loc-key": "petrel.new_messages"},
            "badge": 3,
            "sound": "default",
            "mutable-content": 1,
            "thread-id": push.collapse,
        },
        "type": "messages",
    });
    assert_eq!(push.payload, expected);

    let with = with_preview();
    assert_eq!(world.send(&iphone, &with).await, Outcome::Sent);
    let push = world.receiver.next(&iphone).await.unwrap();
    assert_eq!((push.chat, push.preview), (Some(with.chat), with.preview));
    assert_eq!(world.receiver.complaints(), [""; 0]);
}

#[tokio::test]
async fn a_token_that_expired_is_renewed_and_the_notification_sent_again() {
    let world = World::new(&[]).await;
    let iphone = world.receiver.iphone();
    assert_eq!(world.send(&iphone, &notification()).await, Outcome::Sent);
    world.receiver.expire_tokens();
    let notification = notification();
    let sends = join_all((0..8).map(|_| world.send(&iphone, &notification))).await;
    assert!(sends.iter().all(|outcome| *outcome == Outcome::Sent), "{sends:?}");
    // One that Apple does not believe again is not replaced so soon.
    world.receiver.expire_tokens();
    let outcome = world.send(&iphone, &notification).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[tokio::test]
async fn each_answer_means_something() {
    let world = World::new(&[]).await;
    let iphone = world.receiver.iphone();
    let answered = async |answer| world.answered(&iphone, answer).await;
    for (status, code) in
        [(400, "BadDeviceToken"), (400, "DeviceTokenNotForTopic"), (410, "Unregistered"), (410, "")]
    {
        assert_eq!(answered(Answer::code(status, code)).await, Outcome::Gone, "{code}");
    }
    for (status, code) in
        [(403, "InvalidProviderToken"), (400, "TopicDisallowed"), (413, "PayloadTooLarge")]
    {
        let outcome = answered(Answer::code(status, code)).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{code} {outcome:?}");
    }
    let minute = Some(Duration::from_secs(60));
    assert_eq!(answered(Answer::wait(429, "60")).await, Outcome::Later(minute));
    for answer in [
        Answer::code(429, "TooManyRequests"),
        Answer::code(503, "Shutdown"),
        Answer::code(500, "InternalServerError"),
        Answer::Reset,
    ] {
        assert_eq!(answered(answer).await, Outcome::Later(None));
    }
    assert_eq!(answered(Answer::Accept).await, Outcome::Sent);
}

#[tokio::test]
async fn what_is_no_token_never_becomes_a_path() {
    let world = World::new(&[]).await;
    let topic = "org.example.petrel";
    for (token, topic) in [
        ("", topic),
        ("../../admin", topic),
        ("00ff?x", topic),
        (&"0".repeat(201), topic),
        ("00ff", ""),
        ("00ff", "org.example\r\nx: y"),
    ] {
        let target = PushTarget::Apns { token: token.into(), topic: topic.into() };
        let outcome = world.send(&target, &notification()).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{token} {topic} {outcome:?}");
    }
    assert_eq!(world.receiver.complaints(), [""; 0]);
}
