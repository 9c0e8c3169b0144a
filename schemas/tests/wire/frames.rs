//! Each frame of both directions.

use std::fmt::Write as _;

use insta::assert_snapshot;
use schemas::{
    Body, ChatId, ErrorCode, Millis, RawBody,
    client::{self, Frame as ClientFrame},
    server::{self, Frame as ServerFrame},
};

use crate::people::{alice, bob, group, message, micros, millis, phone, with_bob};

/// Every kind of frame a client says, with and without its optional fields.
pub(crate) fn client_frames() -> Vec<ClientFrame> {
    let body = || RawBody::from(&Body::Text { text: "hi".into() });
    vec![
        ClientFrame::Hello(client::Hello { token: "t".into(), receipts_after: 41 }),
        ClientFrame::Auth(client::Auth { token: "t2".into() }),
        ClientFrame::Send(client::Send {
            id: message(),
            chat: with_bob(),
            body: body(),
            at: Some(micros(0)),
            after: Some(micros(-1)),
        }),
        ClientFrame::Send(client::Send {
            id: message(),
            chat: ChatId::Group(group()),
            body: body(),
            at: None,
            after: None,
        }),
        ClientFrame::Drop(client::Drop { id: message() }),
        ClientFrame::Ack(client::Ack { seq: 1_207 }),
        ClientFrame::Read(client::Read {
            chat: with_bob(),
            marks: [(bob(), micros(0)), (alice(), micros(1))].into(),
        }),
        ClientFrame::Typing(client::Typing { chat: with_bob(), on: true }),
        ClientFrame::Watch(client::Watch { users: vec![bob(), alice()] }),
        ClientFrame::Ping {},
    ]
}

/// Every kind of frame the server says, with and without its optional fields.
pub(crate) fn server_frames() -> Vec<ServerFrame> {
    let item = |seq, after| server::Item {
        seq,
        id: message(),
        chat: with_bob(),
        from: bob(),
        ts: micros(0),
        after,
        body: RawBody::from(&Body::Text { text: "hi".into() }),
    };
    let receipt = server::Receipt {
        chat: with_bob(),
        user: bob(),
        delivered: micros(0),
        read: schemas::Micros(0),
        rev: 42,
    };
    let presence = |state, last_seen| server::Presence { user: bob(), state, last_seen };
    let sent = |full| {
        ServerFrame::Sent(server::Sent { id: message(), chat: with_bob(), ts: micros(0), full })
    };
    let error = |reference, retry_after_ms| {
        ServerFrame::Error(server::Error {
            code: ErrorCode::RateLimited,
            message: "too fast".into(),
            reference,
            retry_after_ms,
        })
    };
    vec![
        ServerFrame::Welcome(server::Welcome {
            user: alice(),
            device: phone(),
            session: "s".into(),
            gateway: "g".into(),
            now: millis(0),
            heartbeat_secs: 25,
            limits: server::Limits::V1,
        }),
        ServerFrame::Messages { items: vec![item(7, None), item(9, Some(micros(-1)))] },
        ServerFrame::CaughtUp {},
        sent(vec![]),
        sent(vec![bob()]),
        ServerFrame::Receipts { items: vec![receipt] },
        ServerFrame::Read {
            items: vec![server::ReadSync {
                chat: with_bob(),
                marks: [(bob(), micros(0))].into(),
                rev: 43,
            }],
        },
        ServerFrame::Presence {
            items: vec![
                presence(server::PresenceState::Online, None),
                presence(server::PresenceState::Offline, Some(millis(0))),
                presence(server::PresenceState::Offline, None),
            ],
        },
        ServerFrame::Typing { chat: ChatId::Group(group()), from: bob(), on: false },
        ServerFrame::Pong { now: Millis(1) },
        ServerFrame::Drain { after_ms: 1_500 },
        error(Some("send".into()), Some(800)),
        error(None, None),
    ]
}

#[test]
fn a_client_says() {
    assert_snapshot!(lines(client_frames().iter().map(|f| serde_json::to_string(f).unwrap())));
}

#[test]
fn the_server_says() {
    assert_snapshot!(lines(server_frames().iter().map(ServerFrame::to_json)));
}

#[test]
fn each_side_understands_the_other() {
    for frame in client_frames() {
        let text = serde_json::to_string(&frame).unwrap();
        assert_eq!(ClientFrame::parse(&text).unwrap(), frame, "{text}");
    }
    for frame in server_frames() {
        let text = frame.to_json();
        assert_eq!(ServerFrame::parse(&text).unwrap(), frame, "{text}");
    }
}

/// Forms that no client of ours writes, and that are fine all the same.
#[test]
fn unusual_spellings_are_understood() {
    let id = message();
    let bob = bob();
    let send = |rest: &str| {
        format!(
            r#"{{"type":"send","id":"{id}","chat":"{bob}",
                "body":{{"kind":"text","text":"hi"}}{rest}}}"#
        )
    };
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let texts = [
        " \t\r\n{\"type\":\"ping\"}\n".to_owned(),
        r#"{"type":"p\u0069ng"}"#.to_owned(),
        r#"{"ty\u0070e":"ping"}"#.to_owned(),
        r#"{"unknown":{"type":"send"},"type":"ping"}"#.to_owned(),
        r#"{"type":"ping","twice":1,"twice":2,"number":1e999,"surrogate":"\ud800"}"#.to_owned(),
        format!(r#"{{"type":"ping","deep":{deep}}}"#),
        r#"{"type":"hello","token":"t"}"#.to_owned(),
        r#"{"type":"hello","token":"t","receipts_after":null}"#.to_owned(),
        r#"{"type":"hello","token":"\ud83d\udc26","receipts_after":1e2}"#.to_owned(),
        r#"{"type":"ack","seq":7.0}"#.to_owned(),
        r#"{"type":"ack","seq":1e3}"#.to_owned(),
        r#"{"type":"ack","seq":-0}"#.to_owned(),
        r#"{"type":"ack","seq":18446744073709551615}"#.to_owned(),
        r#"{"type":"ack","seq":18446744073709551616}"#.to_owned(),
        r#"{"type":"ack","seq":1e300}"#.to_owned(),
        send(r#","at":null,"after":null"#),
        send(r#","at":-5,"after":1e300"#),
        send(r#","at":-1e300,"after":9223372036854775808"#),
        format!(r#"{{"type":"read","chat":"{bob}","marks":{{}}}}"#),
        format!(r#"{{"type":"read","chat":"{bob}","marks":{{"{bob}":1,"{bob}":2}}}}"#),
        r#"{"type":"watch","users":[]}"#.to_owned(),
        format!(r#"{{"type":"watch","users":["{bob}","{bob}"]}}"#),
    ];
    let mut understood = String::new();
    for text in texts {
        let frame = ClientFrame::parse(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        writeln!(understood, "{}\n  {}", crate::refusals::short(&text), json(&frame)).unwrap();
    }
    assert_snapshot!(understood);
}

/// A body is stored and delivered as its sender wrote it.
#[test]
fn a_body_keeps_its_bytes() {
    let body = r#"{ "text" : "\u0068i" , "kind":"text", "new":[1.0, 1e3, "\u00e9"] }"#;
    let (id, bob) = (message(), bob());
    let text = format!(r#"{{"type":"send","body": {body} ,"id":"{id}","chat":"{bob}"}}"#);
    let ClientFrame::Send(send) = ClientFrame::parse(&text).unwrap() else { panic!("{text}") };
    assert_eq!(send.body.get(), body);
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}
