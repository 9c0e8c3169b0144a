//! What is in flight to one session: a window of messages, in frames of bounded
//! size, and what acknowledges them.

use schemas::{CloseCode, limits::WINDOW, server::Frame};

use crate::people::{FIRST, Line, Person, SECOND, ids, text};

/// Sends so many messages whose bodies have this text.
async fn send_many(line: &mut Line, to: &Person, ids: std::ops::Range<usize>, words: &str) {
    let messages: Vec<_> = ids.map(|n| text(format!("m{n}"), to, words)).collect();
    for message in &messages {
        line.say(message.clone()).await;
    }
    for message in &messages {
        line.hears_sent(message).await;
    }
}

#[tokio::test]
async fn a_session_gets_256_messages_and_then_as_many_as_it_acknowledges() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    send_many(&mut a, &bob, 0..300, "hi").await;
    let mut b = bob.hello(SECOND).await;
    let mut items = b.gets_all(WINDOW).await;
    b.is_quiet().await;
    // Nor is it told of what comes live now.
    a.sends(text("m300", &bob, "hi")).await;
    b.is_quiet().await;

    b.acks(items[0].seq).await;
    items.push(b.gets().await);
    b.is_quiet().await;
    b.acks(items[10].seq).await;
    items.extend(b.gets_all(10).await);
    b.is_quiet().await;

    b.acks(items.last().unwrap().seq).await;
    let rest = b.catches_up().await.items;
    items.extend(rest);
    // `caught_up` is about what was stored before the hello.
    while items.len() < 301 {
        items.push(b.gets().await);
    }
    let expected: Vec<_> = (0..=300).map(|n| format!("m{n}")).collect();
    assert_eq!(ids(&items), expected);
    assert!(items.is_sorted_by(|one, next| one.seq < next.seq));
    b.is_quiet().await;
}

#[tokio::test]
async fn a_full_window_is_a_sessions_own() {
    let [alice, bob] = Person::several().await;
    let desk = bob.link().await;
    let mut a = alice.connect(FIRST).await;
    send_many(&mut a, &bob, 0..260, "hi").await;
    let mut b = bob.hello(SECOND).await;
    b.gets_all(WINDOW).await;

    // The other device goes on, and so does this one's next session.
    assert_eq!(desk.fetch(SECOND).await.items.len(), 260);
    let mut again = bob.hello(FIRST).await;
    b.is_closed(CloseCode::Replaced).await;
    let items = again.gets_all(WINDOW).await;
    assert_eq!(items[0].id.as_str(), "m0");
    again.acks(items[WINDOW - 1].seq).await;
    assert_eq!(ids(&again.catches_up().await.items), ["m256", "m257", "m258", "m259"]);
}

#[tokio::test]
async fn a_frame_of_messages_has_at_most_64_items_and_256_kib() {
    const LARGEST_BODY: usize = 16 * 1024 - r#"{"kind":"text","text":""}"#.len();
    // What is stored of a message besides its words.
    let overhead = {
        let [alice, bob] = Person::several().await;
        alice.connect(FIRST).await.sends(text("m000", &bob, "")).await;
        let frame = bob.hello(FIRST).await.hears_text().await;
        let Frame::Messages { items } = Frame::parse(&frame).unwrap() else { panic!("{frame}") };
        let seq = format!(r#""seq":{},"#, items[0].seq);
        frame.len() - r#"{"type":"messages","items":[]}"#.len() - seq.len()
    };
    // Bodies of every size, and sizes that fill a frame to its last byte.
    for words in [0, 4096 - overhead, 4096 - overhead - 40, 8192 - overhead, LARGEST_BODY] {
        let [alice, bob] = Person::several().await;
        let mut a = alice.connect(FIRST).await;
        let words = "x".repeat(words);
        send_many(&mut a, &bob, 100..230, &words).await;

        let mut b = bob.hello(SECOND).await;
        let (mut got, mut most) = (0, 0);
        while got < 130 {
            let frame = b.hears_text().await;
            assert!(frame.len() <= 256 * 1024, "{} bytes of frame", frame.len());
            let Frame::Messages { items } = Frame::parse(&frame).unwrap() else {
                panic!("{frame}")
            };
            assert!((1..=64).contains(&items.len()), "{} items", items.len());
            got += items.len();
            most = most.max(items.len());
        }
        let expected = if words.is_empty() { 64 } else { 15 };
        assert!(most >= expected, "a backlog comes in batches, not by {most}");
    }
}

#[tokio::test]
async fn one_who_falls_behind_gets_batches() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    // The window is full of what came live, and more waits behind it.
    send_many(&mut a, &bob, 0..WINDOW + 130, "hi").await;
    let first = b.gets_all(WINDOW).await;
    b.acks(first[WINDOW - 1].seq).await;
    let mut batches = Vec::new();
    while batches.iter().sum::<usize>() < 130 {
        batches.push(b.gets_some().await.len());
    }
    assert_eq!(batches, [64, 64, 2]);
}

#[tokio::test]
async fn a_quiet_line_gets_each_message_alone_and_at_once() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    for n in 0..20 {
        a.sends(text(format!("m{n}"), &bob, "hi")).await;
        assert_eq!(b.gets().await.id.to_string(), format!("m{n}"));
    }
}
