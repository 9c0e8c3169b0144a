//! Malformed frames in an open session.

use schemas::{CloseCode, ErrorCode, MediaId, server::Frame};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::people::{FIRST, Line, Person, SECOND, ids, text, with};

use ErrorCode::{BadFrame, Invalid, TooLarge, UnknownType};

/// Says it; the answer is this error, and the socket stays open.
async fn check(line: &mut Line, said: impl Into<String>, code: ErrorCode, reference: Option<&str>) {
    let said = said.into();
    let shown: String = said.chars().take(200).collect();
    line.say_text(said).await;
    assert_eq!(line.hears_error().await, (code, reference.map(str::to_owned)), "{shown}");
    // Which also keeps ten of them from being in a row.
    line.is_quiet().await;
}

#[tokio::test]
async fn what_is_no_json_object_is_a_bad_frame() {
    let [alice] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let deep = "[".repeat(30_000);
    let truncated = r#"{"type":"ping""#;
    for said in [
        "",
        " ",
        "x",
        "{",
        "}",
        "{}",
        "[]",
        "null",
        "7",
        "\"ping\"",
        truncated,
        &deep,
        "\0",
        "\u{feff}{}",
        r#"{"type":"ping"}x"#,
        r#"{"type":"ping"}{"type":"ping"}"#,
        r#"{'type':'ping'}"#,
        r#"["ping"]"#,
        r#"[{"type":"ping"}]"#,
        r#"{"type":7}"#,
        r#"{"type":null}"#,
        r#"{"type":["ping"]}"#,
        r#"{"type":{}}"#,
        r#"{"Type":"ping"}"#,
        r#"{"kind":"ping"}"#,
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"\ud800"}"#,
    ] {
        check(&mut line, said, BadFrame, None).await;
    }
}

#[tokio::test]
async fn a_type_that_is_unknown_is_told_from_a_bad_frame() {
    let [alice] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    for kind in ["", "pong", "messages", "PING", "send ", "watch.*", "💬"] {
        let frame = json!({"type": kind, "token": 7}).to_string();
        check(&mut line, frame, UnknownType, Some(kind)).await;
    }
    let frame = json!({"type": "x".repeat(10_000)}).to_string();
    check(&mut line, frame, UnknownType, None).await;
}

#[tokio::test]
async fn a_missing_or_mistyped_field_is_a_bad_frame() {
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let user = bob.user();
    for (frame, reference) in [
        (json!({"type": "auth"}), "auth"),
        (json!({"type": "auth", "token": null}), "auth"),
        (json!({"type": "auth", "token": 7}), "auth"),
        (json!({"type": "drop"}), "drop"),
        (json!({"type": "drop", "id": 7}), "drop"),
        (json!({"type": "ack"}), "ack"),
        (json!({"type": "ack", "seq": null}), "ack"),
        (json!({"type": "ack", "seq": "7"}), "ack"),
        (json!({"type": "ack", "seq": 7.5}), "ack"),
        (json!({"type": "ack", "seq": [7]}), "ack"),
        (json!({"type": "read", "chat": user}), "read"),
        (json!({"type": "read", "marks": {}}), "read"),
        (json!({"type": "read", "chat": user, "marks": []}), "read"),
        (json!({"type": "read", "chat": user, "marks": {user.to_string(): "1"}}), "read"),
        (json!({"type": "read", "chat": user, "marks": {user.to_string(): null}}), "read"),
        (json!({"type": "typing", "chat": user}), "typing"),
        (json!({"type": "typing", "on": true}), "typing"),
        (json!({"type": "typing", "chat": user, "on": 1}), "typing"),
        (json!({"type": "typing", "chat": {"id": user}, "on": true}), "typing"),
        (json!({"type": "watch"}), "watch"),
        (json!({"type": "watch", "users": user}), "watch"),
        (json!({"type": "watch", "users": [7]}), "watch"),
        (json!({"type": "hello", "token": 7}), "hello"),
    ] {
        check(&mut line, frame.to_string(), BadFrame, Some(reference)).await;
    }
}

#[tokio::test]
async fn a_mistyped_send_is_answered_by_its_id_where_it_has_one() {
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let good = text("m1", &bob, "hi");
    let without = |field: &str| {
        let mut frame = good.clone();
        frame.as_object_mut().unwrap().remove(field);
        frame
    };
    for (frame, reference) in [
        (without("id"), "send"),
        (with(good.clone(), "id", 7), "send"),
        (without("chat"), "m1"),
        (without("body"), "m1"),
        (with(good.clone(), "chat", 7), "m1"),
        (with(good.clone(), "chat", [bob.user()]), "m1"),
        (with(good.clone(), "at", "now"), "m1"),
        (with(good.clone(), "at", 1.5), "m1"),
        (with(good.clone(), "after", json!({})), "m1"),
        (with(good.clone(), "body", "hi"), "m1"),
        (with(good.clone(), "body", json!([])), "m1"),
        (with(good.clone(), "body", Value::Null), "m1"),
        (with(good.clone(), "body", json!({})), "m1"),
        (with(good.clone(), "body", json!({"kind": 7})), "m1"),
        (with(good.clone(), "body", json!({"kind": "text"})), "m1"),
        (with(good.clone(), "body", json!({"kind": "text", "text": 7})), "m1"),
        (with(good.clone(), "body", json!({"kind": "opaque"})), "m1"),
        (with(good.clone(), "body", json!({"kind": "media", "name": "x"})), "m1"),
    ] {
        check(&mut line, frame.to_string(), BadFrame, Some(reference)).await;
    }
    // Of all that, nothing arrived.
    line.sends(text("m1", &bob, "hi")).await;
    assert_eq!(ids(&bob.fetch(SECOND).await.items), ["m1"]);
}

#[tokio::test]
async fn an_impossible_value_is_invalid() {
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let user = bob.user().to_string();
    let body = |body: Value| with(text("m1", &bob, ""), "body", body);
    let media = |field: &str, value: Value| {
        let media = json!({
            "kind": "media", "media": MediaId::mint(), "name": "n", "mime": "text/plain", "size": 1,
        });
        body(with(media, field, value))
    };
    let many: Vec<_> = (0..257).map(|_| user.clone()).collect();
    for (frame, reference) in [
        (json!({"type": "ack", "seq": -1}), "ack"),
        (json!({"type": "watch", "users": many}), "watch"),
        (json!({"type": "watch", "users": [user, "bob"]}), "watch"),
        (json!({"type": "read", "chat": user, "marks": {"bob": 1}}), "read"),
        (body(json!({"kind": "event", "event": "member.left", "user": user})), "m1"),
        (body(json!({"kind": "sticker"})), "m1"),
        (body(json!({"kind": ""})), "m1"),
        (body(json!({"kind": "opaque", "data": "not base64!"})), "m1"),
        (body(json!({"kind": "opaque", "data": "YQ"})), "m1"),
        (body(json!({"kind": "opaque", "data": "YQ==\n"})), "m1"),
        (body(json!({"kind": "opaque", "data": "-_-_"})), "m1"),
        (media("media", json!("m_1")), "m1"),
        (media("media", json!(user)), "m1"),
        (media("size", json!(-1)), "m1"),
        (media("width", json!(1_u64 << 40)), "m1"),
        (media("height", json!(-5)), "m1"),
    ] {
        check(&mut line, frame.to_string(), Invalid, Some(reference)).await;
    }
    line.sends(body(json!({"kind": "opaque", "data": "YQ=="}))).await;
    line.sends(with(body(json!({"kind": "opaque", "data": ""})), "id", "m2")).await;
}

#[tokio::test]
async fn no_id_gets_into_a_subject() {
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let user = bob.user().to_string();
    let long = "a".repeat(10_000);
    for id in [
        "",
        ".",
        "a.b",
        "a b",
        " a",
        "a ",
        "*",
        ">",
        "a.>",
        "a\n",
        "a\r\nPUB x 0",
        "a/b",
        "ä",
        "\0",
        &long,
        &long[..65],
    ] {
        check(&mut line, text(id, &bob, "hi").to_string(), Invalid, Some("send")).await;
        check(&mut line, json!({"type": "drop", "id": id}).to_string(), Invalid, Some("drop"))
            .await;
    }
    let (dotted, spaced, wild) = (format!("{user}."), format!("{user} x"), format!("{user}.>"));
    let (upper, longer) = (user.to_uppercase(), format!("u_{long}"));
    let other = user.replacen("u_", "d_", 1);
    for chat in [
        "", "*", ">", "bob", "u_", "u_*", "u_>", "u_.", &dotted, &spaced, &wild, &upper, &longer,
        &other,
    ] {
        check(
            &mut line,
            with(text("m1", &bob, "hi"), "chat", chat).to_string(),
            Invalid,
            Some("m1"),
        )
        .await;
        for frame in [
            json!({"type": "typing", "chat": chat, "on": true}),
            json!({"type": "read", "chat": chat, "marks": {}}),
            json!({"type": "read", "chat": bob.user(), "marks": {chat: 1}}),
            json!({"type": "watch", "users": [chat]}),
        ] {
            let reference = frame["type"].as_str().unwrap().to_owned();
            check(&mut line, frame.to_string(), Invalid, Some(&reference)).await;
        }
    }
    let longest = "Az09_-".repeat(11)[..64].to_owned();
    line.sends(text(longest, &bob, "hi")).await;
}

#[tokio::test]
async fn ten_bad_frames_in_a_row_close_and_any_other_begins_anew() {
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let hello = json!({"type": "hello", "token": alice.account.token()}).to_string();
    let bad = ["x", "[]", r#"{"type":"what"}"#, r#"{"type":"ack"}"#, &hello];
    let nine = bad.iter().cycle().take(9);
    // A frame that is understood and refused is none of the bad ones.
    let others = [
        json!({"type": "ping"}),
        json!({"type": "ack", "seq": -1}),
        text("m 1", &bob, "hi"),
        text("m1", &bob, &"x".repeat(16 * 1024)),
        text("m1", &bob, "hi"),
    ];
    for other in others {
        for frame in nine.clone() {
            line.say_text(*frame).await;
            assert!(matches!(line.hears_error().await.0, BadFrame | UnknownType));
        }
        line.say(other).await;
        line.hears().await;
    }
    for frame in nine.clone() {
        line.say_text(*frame).await;
        line.hears_error().await;
    }
    line.socket.send_message(Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(line.hears_error().await.0, BadFrame, "the tenth is answered, too");
    line.is_closed(CloseCode::Misuse).await;
}

#[tokio::test]
async fn a_second_hello_is_a_bad_frame() {
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    for person in [&alice, &bob] {
        let hello = json!({"type": "hello", "token": person.account.token()}).to_string();
        check(&mut line, hello, BadFrame, Some("hello")).await;
    }
}

#[tokio::test]
async fn a_binary_frame_is_a_bad_frame() {
    let [alice] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    for bytes in [br#"{"type":"ping"}"#.to_vec(), vec![], vec![0xff; 1000]] {
        line.socket.send_message(Message::binary(bytes)).await.unwrap();
        assert_eq!(line.hears_error().await, (BadFrame, None));
        line.is_quiet().await;
    }
}

#[tokio::test]
async fn a_frame_has_at_most_64_kib() {
    const FRAME: usize = 64 * 1024;
    let [alice] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let ping = |length: usize| {
        let bare = r#"{"type":"ping","x":""}"#;
        format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(length - bare.len()))
    };
    assert_eq!(ping(FRAME).len(), FRAME);
    line.say_text(ping(FRAME)).await;
    assert!(matches!(line.hears().await, Frame::Pong { .. }));

    for length in [FRAME + 1, 5_000_000] {
        let mut line = alice.hello(FIRST).await;
        line.catches_up().await;
        // The server may stop reading before all of it was written.
        let _ = line.socket.send_text(ping(length)).await;
        line.is_closed(CloseCode::TooBig).await;
        let mut silent = alice.open(SECOND).await;
        let _ = silent.socket.send_text(ping(length)).await;
        silent.is_closed(CloseCode::TooBig).await;
    }
}

#[tokio::test]
async fn a_body_has_at_most_16_kib() {
    const BODY: usize = 16 * 1024;
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    // It is its JSON text that counts, as it was written.
    let bare = r#"{"kind":"text","text":""}"#.len();
    let largest = "x".repeat(BODY - bare);
    line.sends(text("m1", &bob, &largest)).await;
    check(&mut line, text("m2", &bob, &(largest.clone() + "x")).to_string(), TooLarge, Some("m2"))
        .await;
    let spaced = text("m3", &bob, &largest).to_string().replace(r#""kind":"#, r#""kind": "#);
    check(&mut line, spaced, TooLarge, Some("m3")).await;
    let opaque = json!({"kind": "opaque", "data": "A".repeat(BODY)});
    check(&mut line, with(text("m4", &bob, ""), "body", opaque).to_string(), TooLarge, Some("m4"))
        .await;
    // It fails that send only, and the longest body arrives whole.
    line.sends(text("m5", &bob, "hi")).await;
    let items = bob.fetch(SECOND).await.items;
    assert_eq!(ids(&items), ["m1", "m5"]);
    assert_eq!(items[0].body.get().len(), BODY);
}

#[tokio::test]
async fn deep_json_is_refused_or_ignored_and_never_followed() {
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let deep =
        |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = deep(open, close, 1_000);
        // Where nobody looks it is a field this version does not know.
        line.say_text(format!(r#"{{"type":"ping","x":{deep}}}"#)).await;
        let answer = line.hears().await;
        assert!(matches!(answer, Frame::Pong { .. } | Frame::Error(_)), "{answer:?}");
        let body = format!(r#"{{"kind":"text","text":"hi","x":{deep}}}"#);
        let chat = bob.user();
        let send = format!(r#"{{"type":"send","id":"m1","chat":"{chat}","body":{body}}}"#);
        line.say_text(send).await;
        assert_eq!(line.hears_error().await, (BadFrame, Some("m1".into())));
        line.is_quiet().await;
    }
    // As deep as a client can make a frame.
    line.say_text("[".repeat(64 * 1024)).await;
    assert_eq!(line.hears_error().await, (BadFrame, None));
    line.say_text(r#"{"a":"#.repeat(13_000)).await;
    assert_eq!(line.hears_error().await, (BadFrame, None));
    line.is_quiet().await;
}
