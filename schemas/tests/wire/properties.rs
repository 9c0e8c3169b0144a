//! What holds for any input.

use proptest::{collection::vec, prelude::*};
use schemas::{
    Body, ChatId, DeviceId, GroupId, MediaId, MessageId, Micros, RawBody, UserId,
    client::{self, Frame},
    server,
    stored::{Head, MessagesFrame, StoredMessage},
};

fn users() -> impl Strategy<Value = UserId> {
    (any::<u64>(), any::<u128>()).prop_map(|(ms, random)| UserId::from_parts(ms, random))
}

fn chats() -> impl Strategy<Value = ChatId> {
    let groups = (any::<u64>(), any::<u128>()).prop_map(|(ms, r)| GroupId::from_parts(ms, r));
    prop_oneof![users().prop_map(ChatId::User), groups.prop_map(ChatId::Group)]
}

fn message_ids() -> impl Strategy<Value = MessageId> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|id| id.parse().unwrap())
}

fn micros() -> impl Strategy<Value = Micros> {
    any::<i64>().prop_map(Micros)
}

fn text_bodies() -> impl Strategy<Value = RawBody> {
    ".{0,200}".prop_map(|text| RawBody::from(&Body::Text { text }))
}

fn frames() -> impl Strategy<Value = Frame> {
    let optional = || proptest::option::of(micros());
    prop_oneof![
        (".*", any::<u64>())
            .prop_map(|(token, receipts_after)| client::Hello { token, receipts_after })
            .prop_map(Frame::Hello),
        ".*".prop_map(|token| Frame::Auth(client::Auth { token })),
        (message_ids(), chats(), text_bodies(), optional(), optional()).prop_map(
            |(id, chat, body, at, after)| Frame::Send(client::Send { id, chat, body, at, after })
        ),
        message_ids().prop_map(|id| Frame::Drop(client::Drop { id })),
        any::<u64>().prop_map(|seq| Frame::Ack(client::Ack { seq })),
        (chats(), proptest::collection::btree_map(users(), micros(), 0..9))
            .prop_map(|(chat, marks)| Frame::Read(client::Read { chat, marks })),
        (chats(), any::<bool>()).prop_map(|(chat, on)| Frame::Typing(client::Typing { chat, on })),
        vec(users(), 0..9).prop_map(|users| Frame::Watch(client::Watch { users })),
        Just(Frame::Ping {}),
    ]
}

/// Text made of the pieces that frames are made of, so that it gets past the first check.
fn nearly_frames() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(":".to_owned()),
        Just(",".to_owned()),
        Just("\"type\":\"send\"".to_owned()),
        Just("\"body\":{\"kind\":\"text\",\"text\":\"hi\"}".to_owned()),
        Just("\"id\":\"a\"".to_owned()),
        Just("\"seq\":".to_owned()),
        "[a-z_]{1,8}".prop_map(|word| format!("\"{word}\"")),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<String>(),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Any JSON.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Into::into),
            vec((any::<String>(), inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// One token of a NATS subject that cannot be taken for anything else.
fn is_safe_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

proptest! {
    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        let _ = Frame::parse(&text);
        let _ = server::Frame::parse(&text);
        let _ = Head::parse(text.as_bytes());
    }

    #[test]
    fn parsing_near_frames_never_panics(text in nearly_frames()) {
        let _ = Frame::parse(&text);
        let _ = server::Frame::parse(&text);
    }

    #[test]
    fn a_client_frame_comes_through(frame in frames()) {
        let text = serde_json::to_string(&frame).unwrap();
        prop_assert_eq!(Frame::parse(&text).unwrap(), frame);
    }

    /// What is passed on can be read by whoever gets it.
    #[test]
    fn an_accepted_body_is_readable(mut body in json(), new in json()) {
        if let Some(body) = body.as_object_mut() {
            body.insert("kind".into(), "text".into());
            body.insert("text".into(), "hi".into());
            body.insert("new".into(), new);
        }
        let raw = serde_json::value::to_raw_value(&body).unwrap();
        if let Ok(accepted) = RawBody::parse(&raw) {
            prop_assert_eq!(accepted.get(), raw.get());
            prop_assert!(accepted.typed().is_ok());
        } else {
            prop_assert!(!body.is_object() || raw.get().len() > schemas::limits::BODY_BYTES);
        }
    }

    #[test]
    fn ids_come_through(ms in any::<u64>(), random in any::<u128>()) {
        fn check<T>(id: T) -> Result<(), TestCaseError>
        where
            T: Copy + PartialEq + std::fmt::Display + std::fmt::Debug + serde::Serialize,
            T: std::str::FromStr + serde::de::DeserializeOwned,
            T::Err: std::fmt::Debug,
        {
            let text = id.to_string();
            prop_assert!(is_safe_token(&text));
            prop_assert_eq!(text.parse::<T>().unwrap(), id);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(&json, &format!("\"{text}\""));
            prop_assert_eq!(serde_json::from_str::<T>(&json).unwrap(), id);
            Ok(())
        }
        check(UserId::from_parts(ms, random))?;
        check(GroupId::from_parts(ms, random))?;
        check(DeviceId::from_parts(ms, random))?;
        check(MediaId::from_parts(ms, random))?;
        check(ChatId::User(UserId::from_parts(ms, random)))?;
        check(ChatId::Group(GroupId::from_parts(ms, random)))?;
    }

    /// Half of these are ids, the others a character away from one.
    #[test]
    fn what_parses_is_one_safe_token(
        text in prop_oneof![
            any::<String>(),
            "[ugdm]_[0-7][0-9a-hjkmnp-tv-z]{25}",
            "[ugdm]_[0-9a-zA-Z.*> ]{26}",
            "[!-~]{1,66}",
        ],
    ) {
        fn check<T: std::str::FromStr + std::fmt::Display>(
            text: &str,
        ) -> Result<(), TestCaseError> {
            if let Ok(id) = text.parse::<T>() {
                prop_assert!(is_safe_token(text));
                // One id has one spelling.
                prop_assert_eq!(id.to_string(), text);
            }
            Ok(())
        }
        check::<UserId>(&text)?;
        check::<GroupId>(&text)?;
        check::<DeviceId>(&text)?;
        check::<MediaId>(&text)?;
        check::<ChatId>(&text)?;
        check::<MessageId>(&text)?;
    }

    #[test]
    fn a_spliced_frame_parses_to_its_items(
        messages in vec((any::<u64>(), message_ids(), chats(), users(), micros(), text_bodies()), 0..20),
        after in proptest::option::of(micros()),
    ) {
        let mut frame = MessagesFrame::with_capacity(0);
        let mut items = Vec::new();
        for (seq, id, chat, from, ts, body) in messages {
            let stored = StoredMessage { id, chat, from, ts, after, body };
            frame.push(seq, &stored.to_json());
            let StoredMessage { id, chat, from, ts, after, body } = stored;
            items.push(server::Item { seq, id, chat, from, ts, after, body });
        }
        prop_assert_eq!(frame.items(), items.len());
        let text = String::from_utf8(frame.finish()).unwrap();
        prop_assert_eq!(server::Frame::parse(&text).unwrap(), server::Frame::Messages { items });
    }
}
