//! How messages lie in an inbox and leave it, and how processes talk about them.

use insta::{assert_json_snapshot, assert_snapshot};
use schemas::{
    Body, GatewayId, Micros, Millis, RawBody,
    event::{
        Acked, Barrier, Mark, MarkedRead, Notice, PresenceRecord, ReadMark, ReadMarks,
        ReceiptsBatch, SessionMark, Watermark,
    },
    http::List,
    server::{self, PresenceState},
    stored::{Head, MessagesFrame, StoredMessage},
};

use crate::{
    bodies::bodies,
    people::{alice, bob, group, message, micros, phone, with_bob},
};

/// A message with that body.
pub(crate) fn stored(body: &Body) -> StoredMessage {
    StoredMessage {
        id: message(),
        chat: with_bob(),
        from: bob(),
        ts: micros(0),
        after: None,
        body: RawBody::from(body),
    }
}

#[test]
fn a_stored_message() {
    let plain = stored(&Body::Text { text: "hi".into() });
    let reply = StoredMessage { after: Some(micros(-1)), ..plain.clone() };
    let texts = [plain, reply].map(|message| String::from_utf8(message.to_json()).unwrap());
    assert_snapshot!(texts.join("\n"));
}

#[test]
fn its_head_is_read_without_its_body() {
    for body in bodies() {
        let head = Head::parse(&stored(&body).to_json()).unwrap();
        let is_event = matches!(body, Body::Event(_));
        assert_eq!(head, Head { chat: with_bob(), from: bob(), ts: micros(0), is_event });
    }
    for text in ["", "{}", "[]", r#"{"chat":"x"}"#] {
        Head::parse(text.as_bytes()).expect_err(text);
    }
}

#[test]
fn a_messages_frame_is_spliced() {
    let mut frame = MessagesFrame::with_capacity(1024);
    for (seq, body) in [7, 9, 12].into_iter().zip(bodies()) {
        frame.push(seq, &stored(&body).to_json());
    }
    assert_eq!(frame.items(), 3);
    let text = String::from_utf8(frame.finish()).unwrap();
    assert_snapshot!(text);
    // The same bytes as when the frame is written as a whole.
    assert_eq!(server::Frame::parse(&text).unwrap().to_json(), text);
}

#[test]
fn a_list_of_messages_is_spliced_alike() {
    let mut list = MessagesFrame::list_with_capacity(1024);
    assert_eq!(MessagesFrame::list_with_capacity(0).finish(), br#"{"items":[]}"#);
    for (seq, body) in [7, 9].into_iter().zip(bodies()) {
        list.push(seq, &stored(&body).to_json());
    }
    let text = String::from_utf8(list.finish()).unwrap();
    let items: List<server::Item> = serde_json::from_str(&text).unwrap();
    assert_eq!(items.items.iter().map(|item| item.seq).collect::<Vec<_>>(), [7, 9]);
    assert_eq!(serde_json::to_string(&items).unwrap(), text);
}

#[test]
fn a_batch_for_the_receipts_worker() {
    let batch = ReceiptsBatch {
        acked: vec![Acked {
            user: alice(),
            device: phone(),
            seqs: vec![7, 9],
            marks: vec![Mark { chat: with_bob(), from: bob(), ts: micros(0) }],
        }],
        read: vec![MarkedRead {
            user: alice(),
            device: phone(),
            chat: with_bob(),
            marks: [(bob(), ReadMark { read: micros(0), acked: micros(1) })].into(),
            public: true,
        }],
    };
    assert_json_snapshot!(batch);
    let text = serde_json::to_string(&batch).unwrap();
    assert_eq!(serde_json::from_str::<ReceiptsBatch>(&text).unwrap(), batch);
    assert_eq!(serde_json::to_string(&ReceiptsBatch::default()).unwrap(), "{}");
}

#[test]
fn values_of_the_receipts_bucket() {
    let watermark = Watermark { delivered: micros(1), read: micros(0) };
    let marks = |device| ReadMarks { marks: [(bob(), micros(0))].into(), device };
    assert_snapshot!(format!(
        "{}\n{}\n{}",
        serde_json::to_string(&watermark).unwrap(),
        serde_json::to_string(&marks(Some(phone()))).unwrap(),
        serde_json::to_string(&marks(None)).unwrap()
    ));
    let older = Watermark { delivered: Micros(0), read: micros(1) };
    let joined = Watermark { delivered: micros(1), read: micros(1) };
    assert_eq!(watermark.join(older), joined);
    assert_eq!(older.join(watermark), joined);
}

#[test]
fn values_of_the_registry_and_of_presence() {
    let marks = [
        SessionMark::Started { at: micros(0) },
        SessionMark::Ended { heard: micros(1), lingers: true },
    ];
    for mark in &marks {
        let text = serde_json::to_string(mark).unwrap();
        assert_eq!(&serde_json::from_str::<SessionMark>(&text).unwrap(), mark);
    }
    let gateway = Some(GatewayId::from_parts(1_767_268_800_000, 8));
    let online =
        PresenceRecord { state: PresenceState::Online, last_seen: None, gateway, leaving: false };
    let records = [
        online,
        PresenceRecord { leaving: true, ..online },
        PresenceRecord {
            state: PresenceState::Offline,
            last_seen: Some(Millis(1_767_268_800_000)),
            gateway: None,
            leaving: false,
        },
    ];
    for record in &records {
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(&serde_json::from_str::<PresenceRecord>(&text).unwrap(), record);
    }
    assert_json_snapshot!((marks, records));
}

#[test]
fn notices_between_gateways() {
    let notices = [
        Notice::Connected { device: phone(), session: "s".into(), at: micros(0) },
        Notice::Polled { device: phone(), poll: "p".into(), at: micros(0) },
        Notice::Revoked { device: phone(), instead: None },
        Notice::Revoked { device: phone(), instead: Some("0badf00d".into()) },
        Notice::ReadReceipts { on: false },
        Notice::Typing { chat: with_bob(), from: bob(), on: true },
    ];
    for notice in &notices {
        let text = serde_json::to_string(notice).unwrap();
        assert_eq!(&serde_json::from_str::<Notice>(&text).unwrap(), notice);
    }
    assert_json_snapshot!(notices);
}

#[test]
fn what_gateways_ask_of_each_other() {
    let (group, version) = (group(), 3);
    let barriers = [
        Barrier::Turn { group, version },
        Barrier::Effect { group, version, members: vec![alice(), bob()] },
        Barrier::Forget { user: alice() },
    ];
    for barrier in &barriers {
        let text = serde_json::to_string(barrier).unwrap();
        assert_eq!(&serde_json::from_str::<Barrier>(&text).unwrap(), barrier);
    }
    assert_json_snapshot!(barriers);
}
