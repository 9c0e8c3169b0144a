//! Web Push.

use super::*;

#[tokio::test]
async fn a_browser_decrypts_what_its_push_service_cannot_read() {
    let world = World::new(&[]).await;
    let browser = world.browser();
    let notification = notification();
    assert_eq!(world.send(&browser, &notification).await, Outcome::Sent);
    let push = world.receiver.next(&browser).await.unwrap();
    let expected = serde_json::json!({"type": "messages", "chat": notification.chat, "badge": 3});
    assert_eq!(push.payload, expected);
    assert_eq!(push.collapse.len(), 32);

    let with = with_preview();
    assert_eq!(world.send(&browser, &with).await, Outcome::Sent);
    let push = world.receiver.next(&browser).await.unwrap();
    assert_eq!((push.chat, push.preview), (Some(with.chat), with.preview));
    assert_eq!(world.receiver.complaints(), [""; 0]);
}

#[tokio::test]
async fn notifications_of_a_chat_replace_each_other() {
    let world = World::new(&[]).await;
    let browser = world.browser();
    let first = notification();
    let other_chat = Notification { chat: notification().chat, ..first.clone() };
    let mut topics = Vec::new();
    for notification in [&first, &first, &other_chat] {
        assert_eq!(world.send(&browser, notification).await, Outcome::Sent);
        topics.push(world.receiver.next(&browser).await.unwrap().collapse);
    }
    assert_eq!(topics[0], topics[1]);
    assert_ne!(topics[0], topics[2]);
    // Another worker names it alike.
    let other = senders(&world.receiver, &[]);
    assert_eq!(other.send(&browser, &first).await, Outcome::Sent);
    assert_eq!(world.receiver.next(&browser).await.unwrap().collapse, topics[0]);
}

#[tokio::test]
async fn each_answer_means_something() {
    let world = World::new(&[]).await;
    let browser = world.browser();
    let minutes = |count: u64| Duration::from_secs(60 * count);
    for gone in [404, 410] {
        assert_eq!(world.answered(&browser, Answer::status(gone)).await, Outcome::Gone);
    }
    for refused in [400, 401, 403, 406, 413, 422] {
        let outcome = world.answered(&browser, Answer::status(refused)).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{refused} {outcome:?}");
    }
    for failed in [429, 500, 502, 503] {
        let outcome = world.answered(&browser, Answer::status(failed)).await;
        assert_eq!(outcome, Outcome::Later(None), "{failed}");
        // Lest the circuit opens.
        assert_eq!(world.answered(&browser, Answer::Accept).await, Outcome::Sent);
    }
    for status in [429, 503] {
        let outcome = world.answered(&browser, Answer::wait(status, "120")).await;
        assert_eq!(outcome, Outcome::Later(Some(minutes(2))), "{status}");
        let outcome = world.answered(&browser, Answer::wait(status, date(minutes(5)))).await;
        assert!(later(&outcome, minutes(5)), "{status} {outcome:?}");
    }
    assert_eq!(world.answered(&browser, Answer::Reset).await, Outcome::Later(None));
    assert_eq!(world.answered(&browser, Answer::Accept).await, Outcome::Sent);
}

#[tokio::test]
async fn a_preview_that_is_too_large_is_left_out() {
    let world = World::new(&[]).await;
    let browser = world.browser();
    world.receiver.answer(&browser, [Answer::status(413)]);
    assert_eq!(world.send(&browser, &with_preview()).await, Outcome::Sent);
    assert_eq!(world.receiver.requests(&browser), 2);
    assert_eq!(world.receiver.next(&browser).await.unwrap().preview, None);
    world.receiver.answer(&browser, [Answer::status(413), Answer::status(413)]);
    let outcome = world.send(&browser, &with_preview()).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!(world.receiver.requests(&browser), 4);
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let world = World::new(&[]).await;
    let (browser, victim) = (world.browser(), world.browser());
    let PushTarget::Webpush { endpoint, .. } = &victim else { unreachable!() };
    let outcome = world.answered(&browser, Answer::Redirect(endpoint.clone())).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!((world.receiver.requests(&browser), world.receiver.requests(&victim)), (1, 0));
}

#[tokio::test]
async fn a_subscription_for_another_server_is_no_use() {
    let world = World::new(&[]).await;
    let browser = world.receiver.browser("BAnotherServersKey");
    let outcome = world.send(&browser, &notification()).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!(world.receiver.complaints(), ["vapid: another server's key"]);
}

#[tokio::test]
async fn keys_and_endpoints_that_are_none_reach_nobody() {
    let world = World::new(&[]).await;
    let browser = world.browser();
    let PushTarget::Webpush { endpoint, keys } = browser.clone() else { unreachable!() };
    let mut bad_keys = keys.clone();
    bad_keys.p256dh = "BAAA".into();
    let mut targets = vec![PushTarget::Webpush { endpoint, keys: bad_keys }];
    for endpoint in ["", "http://10.0.0.1/", "https://169.254.169.254/", "https://[fd00::1]/x"] {
        targets.push(PushTarget::Webpush { endpoint: endpoint.into(), keys: keys.clone() });
    }
    for target in targets {
        let PushTarget::Webpush { endpoint, .. } = &target else { unreachable!() };
        let outcome = world.send(&target, &notification()).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{endpoint} {outcome:?}");
    }
    assert_eq!(world.receiver.requests(&browser), 0);
}

#[tokio::test]
async fn this_machine_is_out_of_reach_unless_it_is_allowed() {
    let receiver = PushReceiver::start().await.unwrap();
    let vapid = format!("--vapid-key={VAPID_KEY}");
    let options = options(&[&vapid, "--vapid-subject=https://example.org/push"]);
    let senders = Senders::new(&options).unwrap();
    let browser = receiver.browser(senders.vapid_public_key().unwrap());
    let outcome = senders.send(&browser, &notification()).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!(receiver.requests(&browser), 0);
}
