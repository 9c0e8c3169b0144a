//! Bodies: what people send, what the server tells, and what is neither.

use std::fmt::Write as _;

use insta::assert_snapshot;
use schemas::{
    Body, RawBody,
    body::{Event, Media, Role},
    client::Frame,
};

use crate::{
    people::{alice, bob, photo},
    refusals::{near_ids, send, short},
};

/// Every kind of body.
pub(crate) fn bodies() -> Vec<Body> {
    let media = |pixels| {
        Body::Media(Media {
            media: photo(),
            name: "ferry.jpg".into(),
            mime: "image/jpeg".into(),
            size: 184_320,
            width: pixels,
            height: pixels,
            thumbnail: pixels.map(|_| "LEHV6nWB2yk8".into()),
            caption: pixels.map(|_| "Here it comes".into()),
        })
    };
    let event = Body::Event;
    vec![
        Body::Text { text: "\"hi\"\u{1f426}\n".into() },
        media(Some(1280)),
        media(None),
        Body::Opaque { data: "c2VjcmV0".into() },
        event(Event::GroupCreated { name: "Crew".into(), members: vec![alice(), bob()] }),
        event(Event::GroupRenamed { name: "Crew 2".into() }),
        event(Event::MemberAdded { user: bob() }),
        event(Event::MemberRemoved { user: bob() }),
        event(Event::MemberLeft { user: bob() }),
        event(Event::MemberRole { user: bob(), role: Role::Admin }),
        event(Event::MemberRole { user: bob(), role: Role::Member }),
        event(Event::MediaReady {
            media: photo(),
            mime: "image/jpeg".into(),
            size: 184_320,
            width: Some(1280),
            height: Some(960),
            thumbnail: true,
        }),
        event(Event::MediaRejected { media: photo(), reason: "it is no picture".into() }),
    ]
}

#[test]
fn each_kind() {
    let texts: Vec<String> = bodies().iter().map(|b| serde_json::to_string(b).unwrap()).collect();
    assert_snapshot!(texts.join("\n"));
    for (body, text) in bodies().iter().zip(texts) {
        assert_eq!(&serde_json::from_str::<Body>(&text).unwrap(), body);
        assert_eq!(&RawBody::from(body).typed().unwrap(), body);
        let brings = if let Body::Media(media) = body { Some(media.media) } else { None };
        assert_eq!(RawBody::from(body).media(), brings);
        let from_client = Frame::parse(&send(&text));
        assert_eq!(from_client.is_err(), matches!(body, Body::Event(_)), "{text}");
    }
}

#[test]
fn refused_from_a_client() {
    let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
    let media = |fields: &str| {
        format!(r#"{{"kind":"media","media":"{}","name":"n","mime":"m/m",{fields}}}"#, photo())
    };
    let bodies = [
        "null".to_owned(),
        "7".to_owned(),
        r#""hi""#.to_owned(),
        "[]".to_owned(),
        r#"["text"]"#.to_owned(),
        r#"["text","hi"]"#.to_owned(),
        "{}".to_owned(),
        r#"{"text":"hi"}"#.to_owned(),
        r#"{"kind":7}"#.to_owned(),
        r#"{"kind":"dance"}"#.to_owned(),
        format!(r#"{{"kind":"{}"}}"#, "x".repeat(10_000)),
        r#"{"kind":"text"}"#.to_owned(),
        r#"{"kind":"text","text":null}"#.to_owned(),
        r#"{"kind":"text","text":7}"#.to_owned(),
        r#"{"kind":"text","text":"hi","text":"hi"}"#.to_owned(),
        r#"{"kind":"text","kind":"text","text":"hi"}"#.to_owned(),
        r#"{"kind":"text","text":"\ud800"}"#.to_owned(),
        // What a recipient's parser might choke on is refused in any field.
        r#"{"kind":"text","text":"hi","new":"\udc00"}"#.to_owned(),
        r#"{"kind":"text","text":"hi","new":1e999}"#.to_owned(),
        format!(r#"{{"kind":"text","text":"hi","new":{deep}}}"#),
        r#"{"kind":"opaque"}"#.to_owned(),
        r#"{"kind":"opaque","data":7}"#.to_owned(),
        r#"{"kind":"opaque","data":"?"}"#.to_owned(),
        r#"{"kind":"opaque","data":"YQ"}"#.to_owned(),
        r#"{"kind":"opaque","data":"YR=="}"#.to_owned(),
        r#"{"kind":"opaque","data":"YQ==\n"}"#.to_owned(),
        r#"{"kind":"opaque","data":"-_-_"}"#.to_owned(),
        r#"{"kind":"event"}"#.to_owned(),
        r#"{"kind":"event","event":"group.renamed","name":"mine"}"#.to_owned(),
        r#"{"kind":"media"}"#.to_owned(),
        r#"{"kind":"media","media":7,"name":"n","mime":"m/m","size":1}"#.to_owned(),
        r#"{"kind":"media","media":"m_","name":"n","mime":"m/m","size":1}"#.to_owned(),
        media(r#""size":"m_1""#),
        media(r#""size":-1"#),
        media(r#""size":1.5"#),
        media(r#""size":1e300"#),
        media(r#""size":18446744073709551616"#),
        media(r#""size":1,"width":-1"#),
        media(r#""size":1,"height":4294967296"#),
        media(r#""size":1,"width":"wide""#),
        media(r#""size":1,"caption":7"#),
    ];
    let mut table = String::new();
    for body in bodies {
        let refused = Frame::parse(&send(&body)).expect_err(&body);
        assert_eq!(refused.reference.as_deref(), Some("m1"));
        let message = short(&refused.message);
        writeln!(table, "{}\n  {}: {message}", short(&body), refused.code).unwrap();
    }
    assert_snapshot!(table);
}

/// Whatever comes close to a media id is an impossible value, and no bad frame.
#[test]
fn impossible_media_ids_are_invalid() {
    for media in near_ids(&photo().to_string()) {
        let body = serde_json::json!(
            { "kind": "media", "media": media, "name": "n", "mime": "m/m", "size": 1 }
        );
        let refused = Frame::parse(&send(&body.to_string())).expect_err(&media);
        assert_eq!(refused.code, schemas::ErrorCode::Invalid, "{media}");
    }
}

/// Integers mean the same in bodies as in frames, for the server and for readers.
#[test]
fn accepted_as_integers() {
    for size in ["7.0", "1e3", "18446744073709551615", "-0"] {
        let photo = photo();
        let body = format!(
            r#"{{"kind":"media","media":"{photo}","name":"n","mime":"m/m","size":{size},"width":null,"height":7.0}}"#
        );
        let Frame::Send(send) = Frame::parse(&send(&body)).expect(size) else { panic!("{size}") };
        let Body::Media(media) = send.body.typed().expect(size) else { panic!("{size}") };
        assert_eq!((media.width, media.height), (None, Some(7)));
    }
}
