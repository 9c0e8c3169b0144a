//! One-to-one chat as PROTOCOL promises it, on a real stack.

mod blocks;
mod devices;
mod drain;
mod forgotten;
mod order;
mod refusals;
mod ticks;
mod token;
mod window;

use schemas::{
    CloseCode, Micros, Millis,
    server::{Frame, Limits, Receipt},
};
use serde_json::{Value, json};

use crate::people::{FIRST, Line, Person, SECOND, ids, text, with};

async fn hears_json(line: &mut Line) -> Value {
    serde_json::from_str(&line.hears_text().await).unwrap()
}

#[tokio::test]
async fn two_people_on_two_gateways_talk_and_the_ticks_turn() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);

    // What is said of it is JSON; the body is passed along byte for byte.
    let body = r#"{"kind":"text", "text":"h\u0069","later":[1.50,null]}"#;
    let chat = bob.user();
    a.say_text(format!(r#"{{"type":"send","id":"m_1-A","chat":"{chat}","body":{body}}}"#)).await;
    let sent = hears_json(&mut a).await;
    let ts = &sent["ts"];
    assert_eq!(sent, json!({"type": "sent", "id": "m_1-A", "chat": bob.user(), "ts": ts}));

    let got = b.hears_text().await;
    assert!(got.contains(body), "{got}");
    let got: Value = serde_json::from_str(&got).unwrap();
    let seq = &got["items"][0]["seq"];
    let item = json!({
        "seq": seq, "id": "m_1-A", "chat": alice.user(), "from": alice.user(), "ts": ts,
        "body": {"kind": "text", "text": "hi", "later": [1.5, null]},
    });
    assert_eq!(got, json!({"type": "messages", "items": [item]}));

    b.say(json!({"type": "ack", "seq": seq})).await;
    let delivered = hears_json(&mut a).await;
    let mut receipt = json!({
        "chat": bob.user(), "user": bob.user(), "delivered": ts, "read": 0,
        "rev": delivered["items"][0]["rev"],
    });
    assert_eq!(delivered, json!({"type": "receipts", "items": [receipt]}));

    b.say(json!({"type": "read", "chat": alice.user(), "marks": {alice.user().to_string(): ts}}))
        .await;
    let read = hears_json(&mut a).await;
    let rev = &read["items"][0]["rev"];
    assert!(rev.as_u64() > receipt["rev"].as_u64(), "{rev} after {receipt}");
    (receipt["read"], receipt["rev"]) = (ts.clone(), rev.clone());
    assert_eq!(read, json!({"type": "receipts", "items": [receipt]}));

    let reply = with(text("m_1-A", &alice, "hi, too"), "after", ts);
    let replied = b.sends(reply).await;
    let got = a.gets().await;
    assert_eq!((got.from, got.chat, got.ts), (bob.user(), bob.chat(), replied));
    assert_eq!(json!(got.after), *ts);
    assert!(json!(replied).as_i64() > ts.as_i64());
}

#[tokio::test]
async fn a_hello_is_welcomed() {
    let [alice] = Person::several().await;
    let mut line = alice.open(SECOND).await;
    line.say(json!({"type": "hello", "token": alice.account.token(), "later": {}})).await;
    let Frame::Welcome(welcome) = line.hears().await else { panic!() };
    assert_eq!((welcome.user, welcome.device), (alice.user(), alice.device()));
    assert_eq!(welcome.gateway, "gateway-2");
    assert_eq!(welcome.heartbeat_secs, 25);
    let limits = Limits { frame: 65_536, body: 16_384, window: 256, watch: 256, group: 100 };
    assert_eq!(welcome.limits, limits);
    let off = Millis::from(Micros::now()).0 - welcome.now.0;
    assert!((-5_000..=5_000).contains(&off), "{off} ms");
    assert_eq!(line.hears().await, Frame::CaughtUp {});

    let mut again = alice.open(FIRST).await;
    again.say_hello(alice.account.token(), 0).await;
    let Frame::Welcome(other) = again.hears().await else { panic!() };
    assert_ne!(welcome.session, other.session);
}

#[tokio::test]
async fn what_came_while_one_was_away_comes_in_order_and_then_caught_up() {
    let [alice, bob] = Person::several().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let asked = b.sends(text("question", &alice, "are you there?")).await;
    let question = a.gets().await;
    a.acks(question.seq).await;
    let receipt = b.gets_receipt().await;
    let expected = Receipt {
        chat: alice.chat(),
        user: alice.user(),
        delivered: asked,
        read: Micros(0),
        rev: receipt.rev,
    };
    assert_eq!(receipt, expected);
    b.hangs_up().await;

    let messages: Vec<_> =
        (0..100).map(|n| text(format!("m{n}"), &bob, &format!("text {n}"))).collect();
    let mut sent = Vec::new();
    for message in &messages {
        a.say(message.clone()).await;
    }
    for message in &messages {
        sent.push(a.hears_sent(message).await);
    }

    let mut b = bob.hello(FIRST).await;
    let backlog = b.catches_up().await;
    let expected: Vec<_> = (0..100).map(|n| format!("m{n}")).collect();
    assert_eq!(ids(&backlog.items), expected);
    assert_eq!(backlog.items.iter().map(|item| item.ts).collect::<Vec<_>>(), sent);
    assert_eq!(backlog.receipts, [receipt], "it was not stored by this client");
    assert!(backlog.reads.is_empty());

    // What is live follows, and nothing of the backlog again.
    a.sends(text("live", &bob, "still there?")).await;
    assert_eq!(b.gets().await.id.as_str(), "live");
    b.is_quiet().await;
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_and_what_is_does_not() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    for id in ["m0", "m1", "m2", "m3"] {
        a.sends(text(id, &bob, "hi")).await;
    }
    let mut b = bob.hello(FIRST).await;
    let items = b.catches_up().await.items;
    b.acks(items[1].seq).await;
    // The tick says that the gateway has taken it in.
    assert_eq!(a.gets_receipt().await.delivered, items[1].ts);

    let mut again = bob.hello(SECOND).await;
    b.is_closed(CloseCode::Replaced).await;
    let rest = again.catches_up().await.items;
    // Until a worker has deleted them, acknowledged ones may come once more.
    assert_eq!(ids(&rest)[rest.len() - 2..], ["m2", "m3"]);
    assert_eq!(rest[rest.len() - 2..], items[2..]);
}

#[tokio::test]
async fn a_note_to_self_lies_in_every_inbox_and_gets_its_ticks() {
    let [alice] = Person::several().await;
    let tablet = alice.link().await;
    let (mut phone, mut tablet) = (alice.connect(FIRST).await, tablet.connect(SECOND).await);

    phone.say(text("note", &alice, "milk")).await;
    // The sender's own copy may be there before the answer.
    let (ts, own) = match phone.hears().await {
        Frame::Sent(sent) => (sent.ts, phone.gets().await),
        Frame::Messages { mut items } => {
            (phone.hears_sent(&text("note", &alice, "milk")).await, items.remove(0))
        }
        other => panic!("{other:?}"),
    };
    let synced = tablet.gets().await;
    for item in [&own, &synced] {
        assert_eq!((item.chat, item.from, item.ts), (alice.chat(), alice.user(), ts));
        assert_eq!(item.id.as_str(), "note");
    }

    tablet.acks(synced.seq).await;
    for line in [&mut phone, &mut tablet] {
        let receipt = line.gets_receipt().await;
        assert_eq!((receipt.chat, receipt.user), (alice.chat(), alice.user()));
        assert_eq!((receipt.delivered, receipt.read), (ts, Micros(0)));
    }
    tablet.reads(&alice, ts).await;
    assert_eq!(tablet.gets_receipt().await.read, ts);
    let changes = phone.hears_changes(2).await;
    assert_eq!((changes.receipts[0].read, changes.reads[0].marks[&alice.user()]), (ts, ts));
}
