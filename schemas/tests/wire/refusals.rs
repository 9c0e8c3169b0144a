//! What is refused, with which code, and about what.

use std::fmt::Write as _;

use insta::assert_snapshot;
use schemas::{
    ErrorCode,
    client::{Ack, Frame, Read, Said, Send},
    limits::{BODY_BYTES, WATCH_USERS},
    server,
};
use serde_json::{Value, json};

use crate::{
    frames::client_frames,
    people::{bob, message},
};

/// A text in one line: long ones by their beginning and length, and what is
/// not to be seen by its number.
pub(crate) fn short(text: &str) -> String {
    const SHOWN: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut visible = String::new();
    for char in line.chars().take(SHOWN) {
        match char {
            '"' | '\'' | '\\' => visible.push(char),
            _ => visible.extend(char.escape_debug()),
        }
    }
    if line.chars().count() > SHOWN {
        write!(visible, "… ({} bytes)", line.len()).unwrap();
    }
    visible
}

fn outcome(text: &str) -> String {
    match Frame::parse(text) {
        Ok(_) => "ok".into(),
        Err(error) => {
            let reference = error.reference.as_deref().map_or("-".into(), short);
            format!("{} about {reference}: {}", error.code, short(&error.message))
        }
    }
}

/// Each text with what becomes of it.
fn outcomes<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let mut table = String::new();
    for text in texts {
        let text = text.as_ref();
        writeln!(table, "{}\n  {}", short(text), outcome(text)).unwrap();
    }
    table
}

/// What is said without a socket is looked at in the same way.
#[test]
fn without_its_type_it_is_the_same() {
    fn same<T: Said>(frame: &Value, into: fn(T) -> Frame) {
        let mut alone = frame.clone();
        alone.as_object_mut().unwrap().remove("type");
        let (said, frame) = (T::parse(&alone.to_string()), Frame::parse(&frame.to_string()));
        match (said.map(into), frame) {
            (Ok(said), Ok(frame)) => assert_eq!(said, frame),
            (Err(said), Err(frame)) => assert_eq!(said.code, frame.code, "{alone}"),
            (said, frame) => panic!("{said:?} and {frame:?}"),
        }
    }
    let wrong = json!([null, true, -7, 1.5, 1e300, "", "a.b", [], {}, {"x": 7}]);
    for frame in client_frames().iter().map(|frame| json!(frame)) {
        let compare = |frame: &Value| match frame["type"].as_str() {
            Some("send") => same::<Send>(frame, Frame::Send),
            Some("ack") => same::<Ack>(frame, Frame::Ack),
            Some("read") => same::<Read>(frame, Frame::Read),
            _ => {}
        };
        for field in frame.as_object().unwrap().keys().filter(|field| *field != "type") {
            let mut changed = frame.clone();
            compare(&changed);
            for value in wrong.as_array().unwrap() {
                changed[field] = value.clone();
                compare(&changed);
            }
            changed.as_object_mut().unwrap().remove(field);
            compare(&changed);
        }
    }
    for text in ["", "[]", "[1207]", "7", "x", "{"] {
        assert_eq!(Ack::parse(text).unwrap_err().code, ErrorCode::BadFrame, "{text}");
    }
}

fn deep(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn what_is_no_frame() {
    assert_snapshot!(outcomes([
        "",
        " ",
        "hello",
        "{",
        "{\"type\":\"ping\"",
        "{\"type\":\"ping\"}}",
        "{\"type\":\"ping\"} {\"type\":\"ping\"}",
        "{'type':'ping'}",
        "{\"type\":\"ping\",}",
        "{\"type\":\"ping\",\"nan\":NaN}",
        "\u{feff}{\"type\":\"ping\"}",
        "\0",
        "null",
        "true",
        "7",
        "\"ping\"",
        "[]",
        "[\"ping\"]",
        "[{\"type\":\"ping\"}]",
        "{}",
        "{\"TYPE\":\"ping\"}",
        "{\"type\":null}",
        "{\"type\":7}",
        "{\"type\":[\"ping\"]}",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "{\"type\":\"\\ud800\"}",
        &deep(10_000),
        &format!("{{\"type\":{}}}", deep(10_000)),
        &"{\"a\":".repeat(10_000),
    ]));
}

#[test]
fn unknown_types() {
    assert_snapshot!(outcomes([
        r#"{"type":""}"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"Ping"}"#,
        r#"{"type":" ping"}"#,
        r#"{"type":"ping\u0000"}"#,
        r#"{"type":"welcome"}"#,
        &format!(r#"{{"type":"{}"}}"#, "x".repeat(10_000)),
    ]));
}

/// Every field of every frame: absent, and as each type JSON has.
#[test]
fn every_field_absent_and_mistyped() {
    let wrong = [
        ("null", json!(null)),
        ("true", json!(true)),
        ("7", json!(7)),
        ("-7", json!(-7)),
        ("1.5", json!(1.5)),
        ("\"x\"", json!("x")),
        ("[]", json!([])),
        ("[7]", json!([7])),
        ("{}", json!({})),
        ("{\"x\":7}", json!({"x": 7})),
    ];
    let mut table = String::new();
    for frame in client_frames() {
        let frame = json!(frame);
        // The second send shows what the first does.
        if frame["type"] == "send" && frame["at"].is_null() {
            continue;
        }
        for field in frame.as_object().unwrap().keys().filter(|field| *field != "type") {
            writeln!(table, "{} {field}", frame["type"].as_str().unwrap()).unwrap();
            let mut changed = frame.clone();
            changed.as_object_mut().unwrap().remove(field);
            writeln!(table, "  absent: {}", outcome(&changed.to_string())).unwrap();
            for (name, value) in &wrong {
                changed[field] = value.clone();
                writeln!(table, "  {name}: {}", outcome(&changed.to_string())).unwrap();
            }
        }
    }
    assert_snapshot!(table);
}

/// Strings that come close to an id.
pub(crate) fn near_ids(good: &str) -> Vec<String> {
    let (prefix, digits) = good.split_at(2);
    vec![
        String::new(),
        prefix.into(),
        digits.into(),
        good.to_uppercase(),
        format!("{prefix}{}", digits.to_uppercase()),
        format!("{}{digits}", prefix.to_uppercase()),
        format!("{prefix}8{}", &digits[1..]),
        format!("{prefix}z{}", &digits[1..]),
        format!("{prefix}{}", &digits[1..]),
        format!("{good}0"),
        // The letters Crockford leaves out; some decoders take them for digits.
        format!("{prefix}{}i", &digits[1..]),
        format!("{prefix}{}l", &digits[1..]),
        format!("{prefix}{}o", &digits[1..]),
        format!("{prefix}{}u", &digits[1..]),
        format!("{prefix}{}.", &digits[1..]),
        format!("{prefix}{}*", &digits[1..]),
        format!("{prefix}{}>", &digits[1..]),
        format!("{prefix}{} ", &digits[1..]),
        format!("{prefix}{}\0", &digits[1..]),
        format!("{prefix}{}\n", &digits[1..]),
        format!("{prefix}{}é", &digits[2..]),
        format!(" {good}"),
        format!("{good}.>"),
        "*".into(),
        ">".into(),
        format!("q_{digits}"),
        format!("{prefix}{}", "0".repeat(10_000)),
    ]
}

#[test]
fn impossible_users() {
    let near = near_ids(&bob().to_string());
    let texts = near.iter().map(|user| json!({ "type": "watch", "users": [user] }).to_string());
    assert_snapshot!(outcomes(texts));
}

#[test]
fn impossible_message_ids() {
    let ids = [
        "",
        "a.b",
        "a b",
        "a*",
        ">",
        "a/b",
        "a=",
        "é",
        "a\0",
        "a\n",
        "\u{202e}a",
        &"x".repeat(65),
        &"x".repeat(10_000),
    ];
    let texts = ids.map(|id| json!({ "type": "drop", "id": id }).to_string());
    assert_snapshot!(outcomes(texts));
    for id in ["-", "_", "A", "0", &"x".repeat(64)] {
        assert_eq!(outcome(&json!({ "type": "drop", "id": id }).to_string()), "ok", "{id}");
    }
}

/// `ref` is the id of a send wherever that can be read, whatever else is wrong with it.
#[test]
fn a_refused_send_is_told_by_its_id() {
    let (id, bob) = (message(), bob());
    let body = r#"{"kind":"text","text":"hi"}"#;
    assert_snapshot!(outcomes([
        format!(r#"{{"type":"send","id":"{id}"}}"#),
        format!(r#"{{"type":"send","id":"{id}","chat":7,"body":{body}}}"#),
        format!(r#"{{"type":"send","id":"{id}","chat":"nobody","body":{body}}}"#),
        format!(r#"{{"type":"send","id":"{id}","chat":"{bob}","body":{body},"at":"noon"}}"#),
        format!(r#"{{"type":"send","id":"{id}","chat":"{bob}","body":{body},"at":1.5}}"#),
        format!(r#"{{"type":"send","id":"{id}","chat":"{bob}","body":{body},"at":1e999}}"#),
        format!(r#"{{"type":"send","id":"{id}","chat":"{bob}","body":{body},"chat":"{bob}"}}"#),
        format!(r#"{{"type":"send","id":"{id}","id":"{id}","chat":"{bob}","body":{body}}}"#),
        format!(r#"{{"type":"send","id":"a.b","chat":"{bob}","body":{body}}}"#),
        format!(r#"{{"type":"send","id":"a.b","chat":"{bob}","body":7}}"#),
        format!(r#"{{"type":"send","id":7,"chat":"{bob}","body":{body}}}"#),
        format!(r#"{{"type":"send","chat":"{bob}","body":{body}}}"#),
    ]));
}

#[test]
fn impossible_values() {
    let bob = bob();
    let crowd = |count| json!({ "type": "watch", "users": vec![bob; count] }).to_string();
    assert_snapshot!(outcomes([
        r#"{"type":"ack","seq":-1}"#.to_owned(),
        r#"{"type":"ack","seq":-1e300}"#.to_owned(),
        r#"{"type":"ack","seq":1e999}"#.to_owned(),
        r#"{"type":"ack","seq":1,"seq":2}"#.to_owned(),
        r#"{"type":"hello","token":"t","receipts_after":-1}"#.to_owned(),
        r#"{"type":"hello","token":"\ud800"}"#.to_owned(),
        format!(r#"{{"type":"read","chat":"{bob}","marks":{{"bob":1}}}}"#),
        format!(r#"{{"type":"read","chat":"{bob}","marks":{{"{bob}":"1"}}}}"#),
        format!(r#"{{"type":"read","chat":"{bob}","marks":{{"{bob}":null}}}}"#),
        format!(r#"{{"type":"read","chat":"bob","marks":{{"{bob}":1}}}}"#),
        r#"{"type":"typing","chat":"g_","on":true}"#.to_owned(),
        crowd(WATCH_USERS + 1),
    ]));
    assert_eq!(outcome(&crowd(WATCH_USERS)), "ok");
}

/// The text of a send whose body is exactly this.
pub(crate) fn send(body: &str) -> String {
    format!(r#"{{"type":"send","id":"m1","chat":"{}","body":{body}}}"#, bob())
}

#[test]
fn a_body_may_be_just_so_large() {
    let text_of = |bytes: usize| {
        let frame = r#"{"kind":"text","text":""}"#.len();
        send(&format!(r#"{{"kind":"text","text":"{}"}}"#, "x".repeat(bytes - frame)))
    };
    assert_eq!(outcome(&text_of(BODY_BYTES)), "ok");
    assert_snapshot!(outcomes([
        text_of(BODY_BYTES + 1),
        // Its size is asked first: it need not even be a body.
        send(&deep(BODY_BYTES)),
        // Bytes count and not characters, and so does space.
        send(&format!(r#"{{"kind":"text","text":"{}"}}"#, "é".repeat(BODY_BYTES / 2))),
        send(&format!(r#"{{"kind":"text","text":"hi"{}}}"#, " ".repeat(BODY_BYTES))),
    ]));
}

/// Nobody's own text comes back at length.
#[test]
fn what_is_said_of_a_refusal_is_short() {
    let long = "é".repeat(30_000);
    for text in [
        json!({ "type": long }),
        json!({ "type": "ack", "seq": long }),
        json!({ "type": "drop", "id": long }),
        json!({ "type": "typing", "chat": long, "on": true }),
        json!({ "type": "watch", "users": [long] }),
        json!({ "type": "read", "chat": bob(), "marks": { &long: 1 } }),
        json!({ "type": "send", "id": "m1", "chat": bob(), "body": { "kind": &long[..9_000] } }),
        json!({ "type": "send", "id": "m1", "chat": bob(),
            "body": { "kind": "media", "media": "m", "size": &long[..9_000] } }),
    ] {
        let refused = Frame::parse(&text.to_string()).unwrap_err();
        assert!(refused.message.len() <= 400, "{}", refused.message);
        assert!(refused.reference.is_none_or(|reference| reference.len() <= 64));
    }
}

/// Only these two count towards the ten that close the socket.
#[test]
fn bad_frames_are_counted_and_others_are_not() {
    for (text, bad) in [
        ("{", true),
        (r#"{"type":"dance"}"#, true),
        (r#"{"type":"ack"}"#, true),
        (r#"{"type":"ack","seq":-1}"#, false),
        (&send(&deep(BODY_BYTES)), false),
    ] {
        assert_eq!(Frame::parse(text).unwrap_err().is_bad(), bad, "{text}");
    }
}

#[test]
fn a_refusal_becomes_an_error_frame() {
    let refused = Frame::parse(r#"{"type":"ack","seq":-1}"#).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    let frame = server::Frame::Error(refused.into()).to_json();
    let expected = json!({
        "type": "error",
        "code": "invalid",
        "message": "seq: not below 0",
        "ref": "ack",
    });
    assert_eq!(serde_json::from_str::<Value>(&frame).unwrap(), expected);
}
