#![allow(clippy::unwrap_used)]
//! What a session answers, frame by frame.

use bytes::Bytes;
use schemas::{
    Body, RawBody,
    client::Frame,
    event::Mark,
    limits::WINDOW,
    server::{Receipt, Sent},
    stored::StoredMessage,
};

use super::*;

const NOW: Micros = Micros(1_800_000_000_000_000);

/// A session with its inbox and receipts read to the end.
struct Client {
    session: Session,
    me: Identity,
    family: Family,
}

impl Client {
    fn new() -> Self {
        let me = Identity { user: UserId::from_parts(1, 1), device: DeviceId::from_parts(1, 2) };
        let family = Family::mint();
        let session = Session::new(me, family, "s_m".into(), NOW, 0, true);
        Self { session, me, family }
    }

    fn caught_up() -> Self {
        let mut client = Self::new();
        let mut actions = Vec::new();
        client.session.start(&mut actions);
        assert_eq!(actions.len(), 2, "the inbox and the receipts are read");
        client.done(Done::Inbox(Some(feed::Page { entries: vec![], end: true })));
        client.done(Done::Receipts(Some(receipts::Page { changes: vec![], end: true, last: 0 })));
        assert!(client.session.catches_up());
        assert!(!client.session.catches_up(), "once");
        client
    }

    fn says(&mut self, text: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.frame(Frame::parse(text), NOW, &mut actions);
        actions
    }

    fn done(&mut self, done: Done) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.done(done, NOW, &mut actions);
        actions
    }

    fn hears(&mut self, notice: Notice, now: Micros) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.notice(notice, now, &mut actions);
        actions
    }

    fn gets(&mut self, seqs: std::ops::RangeInclusive<u64>) -> Vec<Action> {
        let mut actions = Vec::new();
        let live = seqs.map(|seq| Live { entry: message(seq), previous: seq - 1 }).collect();
        self.session.live(live, false, &mut actions);
        actions
    }

    /// The seqs of the next `messages` frame.
    fn frame(&mut self) -> Option<Vec<u64>> {
        let text = self.session.next_messages(&mut Vec::new())?;
        let frame = server::Frame::parse(std::str::from_utf8(&text).unwrap()).unwrap();
        let server::Frame::Messages { items } = frame else { panic!("{frame:?}") };
        Some(items.iter().map(|item| item.seq).collect())
    }
}

fn bob() -> UserId {
    UserId::from_parts(2, 2)
}

fn message(seq: u64) -> Entry {
    let stored = StoredMessage {
        id: format!("m{seq}").parse().unwrap(),
        chat: ChatId::User(bob()),
        from: bob(),
        ts: Micros(seq as i64),
        after: None,
        body: RawBody::from(&Body::Text { text: "hi".into() }),
    };
    Entry { seq, stored: stored.to_json().into() }
}

fn send(id: &str) -> String {
    format!(
        r#"{{"type":"send","id":"{id}","chat":"{}","body":{{"kind":"text","text":"x"}}}}"#,
        bob()
    )
}

fn error_of(actions: &[Action]) -> (ErrorCode, Option<&str>) {
    let Some(Action::Say(server::Frame::Error(error))) = actions.first() else {
        panic!("{actions:?}")
    };
    (error.code, error.reference.as_deref())
}

#[test]
fn ten_bad_frames_in_a_row_close_and_any_other_resets() {
    let mut client = Client::caught_up();
    for _ in 0..9 {
        assert_eq!(client.says("{").len(), 1);
    }
    assert!(matches!(client.says(r#"{"type":"ping"}"#)[..], [Action::Say(_)]));
    for _ in 0..4 {
        client.says(r#"{"type":"what"}"#);
        client.says(r#"{"type":"ack"}"#);
    }
    assert_eq!(error_of(&client.says(r#"{"type":"ack","seq":-1}"#)).0, ErrorCode::Invalid);
    for _ in 0..9 {
        assert_eq!(client.says("[]").len(), 1);
    }
    let last = client.says(r#"{"type":"hello","token":"t"}"#);
    assert_eq!(error_of(&last), (ErrorCode::BadFrame, Some("hello")));
    assert_eq!(last[1], Action::Close(CloseCode::Misuse));
}

#[test]
fn a_quiet_line_gets_single_messages_and_a_busy_one_batches() {
    let mut client = Client::caught_up();
    client.gets(1..=1);
    assert_eq!(client.frame(), Some(vec![1]));
    client.gets(2..=101);
    assert_eq!(client.frame(), Some((2..=65).collect()));
    assert_eq!(client.frame(), Some((66..=101).collect()));
    assert_eq!(client.frame(), None);
}

#[test]
fn a_reader_that_does_not_acknowledge_gets_a_window_and_no_more() {
    let mut client = Client::caught_up();
    client.gets(1..=1000);
    let mut seen = 0;
    while let Some(seqs) = client.frame() {
        seen += seqs.len();
    }
    assert_eq!(seen, WINDOW);
    assert_eq!(client.gets(1001..=2000), [], "nothing is read while there is no room");
    let actions = client.says(r#"{"type":"ack","seq":100}"#);
    assert!(
        matches!(actions[..], [Action::Acknowledge(_), Action::Work(Work::ReadInbox(read))] if read.from == 257 && read.items == 100),
        "{actions:?}"
    );
}

#[test]
fn an_ack_tells_the_worker_once() {
    let mut client = Client::caught_up();
    client.gets(1..=3);
    client.frame();
    let [Action::Acknowledge(acked)] = &client.says(r#"{"type":"ack","seq":99}"#)[..] else {
        panic!()
    };
    let mark = Mark { chat: ChatId::User(bob()), from: bob(), ts: Micros(3) };
    assert_eq!((&acked.seqs[..], &acked.marks[..]), (&[1, 2, 3][..], &[mark][..]));
    assert_eq!(client.says(r#"{"type":"ack","seq":3}"#), []);
    assert_eq!(client.says(r#"{"type":"ack","seq":0}"#), []);
}

#[test]
fn a_read_carries_the_proof_of_this_socket() {
    let mut client = Client::caught_up();
    client.gets(1..=3);
    client.frame();
    client.says(r#"{"type":"ack","seq":2}"#);
    let read = format!(r#"{{"type":"read","chat":"{0}","marks":{{"{0}":3}}}}"#, bob());
    let [Action::MarkRead(read)] = &client.says(&read)[..] else { panic!() };
    assert_eq!(read.marks[&bob()], ReadMark { read: Micros(3), acked: Micros(2) });
    assert!(read.public);
    client.hears(Notice::ReadReceipts { on: false }, NOW);
    let read = format!(r#"{{"type":"read","chat":"{0}","marks":{{"{0}":3}}}}"#, bob());
    let [Action::MarkRead(read)] = &client.says(&read)[..] else { panic!() };
    assert!(!read.public);
}

#[test]
fn a_refused_send_is_answered_by_its_id() {
    let mut client = Client::caught_up();
    let [Action::Work(Work::Store(sent, _))] = &client.says(&send("a"))[..] else { panic!() };
    let (chat, id) = (sent.chat, sent.id.clone());
    assert_eq!(client.says(&send("b")), []);
    let refusal =
        Refusal { retry_after_ms: Some(50), ..Refusal::new(ErrorCode::RateLimited, "slow") };
    let actions = client.done(Done::Stored { chat, id: id.clone(), result: Err(refusal) });
    assert_eq!(error_of(&actions), (ErrorCode::RateLimited, Some("a")));
    assert_eq!(error_of(&actions[1..]), (ErrorCode::RateLimited, Some("b")));
    assert!(matches!(client.says(&send("a"))[..], [Action::Work(Work::Store(..))]));
    let sent = Sent { id: id.clone(), chat, ts: NOW, full: vec![] };
    let actions = client.done(Done::Stored { chat, id, result: Ok(sent.clone()) });
    assert_eq!(actions, [Action::Say(server::Frame::Sent(sent))]);
}

#[test]
fn of_two_sessions_of_a_device_exactly_one_stays() {
    let device = Client::new().me.device;
    let connected = |session: &str, at| Notice::Connected { device, session: session.into(), at };
    let closes = |notice, now| {
        Client::caught_up().hears(notice, now) == [Action::Close(CloseCode::Replaced)]
    };
    let second = std::time::Duration::from_secs(1);
    let minute = std::time::Duration::from_secs(60);
    assert!(!closes(connected("s_m", NOW), NOW), "its own announcement");
    assert!(closes(connected("s_a", NOW.plus(second)), NOW.plus(second)), "a newer one");
    assert!(!closes(connected("s_z", NOW.minus(second)), NOW), "an older one, heard late");
    assert!(closes(connected("s_z", NOW), NOW) && !closes(connected("s_a", NOW), NOW), "a tie");
    assert!(closes(connected("s_a", NOW.minus(minute)), NOW.plus(minute)), "a clock that is off");
    let other =
        Notice::Connected { device: DeviceId::mint(), session: "s_z".into(), at: NOW.plus(second) };
    assert!(!closes(other, NOW), "another device");
}

#[test]
fn users_are_watched_one_set_after_the_other_and_the_newest_wins() {
    let mut client = Client::caught_up();
    let [a, b, c] = [1, 2, 3].map(|number| UserId::from_parts(1, number));
    let watch = |user: UserId| format!(r#"{{"type":"watch","users":["{user}"]}}"#);
    let watches = |user| [Action::Watch([user].into())];
    assert_eq!(client.says(&watch(a)), watches(a));
    assert_eq!(client.says(&watch(b)), []);
    assert_eq!(client.says(&watch(c)), [], "instead of the one that waits");
    assert_eq!(client.done(Done::Watched(Ok(()))), watches(c));
    let refusal = Refusal::new(ErrorCode::Unavailable, "not now");
    let refused = client.done(Done::Watched(Err(refusal)));
    assert_eq!(error_of(&refused), (ErrorCode::Unavailable, Some("watch")));
    assert_eq!(client.says(&watch(a)), watches(a));
}

#[test]
fn revoked_and_refused_tokens_close() {
    let mut client = Client::caught_up();
    let revoked = |device, instead: Option<Family>| Notice::Revoked {
        device,
        instead: instead.map(|family| family.to_string()),
    };
    assert_eq!(client.hears(revoked(DeviceId::mint(), None), NOW), []);
    let device = client.me.device;
    let close = [Action::Close(CloseCode::Unauthorized)];
    assert_eq!(client.hears(revoked(device, None), NOW), close);
    // After a login, those stay who have its tokens.
    assert_eq!(client.hears(revoked(device, Some(client.family)), NOW), []);
    let newer = Family::mint();
    assert_eq!(client.hears(revoked(device, Some(newer)), NOW), close);
    assert_eq!(client.done(Done::Renewed(Renewal::Until(NOW, newer))), [Action::ExpireAt(NOW)]);
    assert_eq!(client.hears(revoked(device, Some(newer)), NOW), []);
    assert_eq!(client.done(Done::Renewed(Renewal::Refused)), close);
    let unavailable = client.done(Done::Renewed(Renewal::Unavailable));
    assert_eq!(error_of(&unavailable), (ErrorCode::Unavailable, Some("auth")));
}

#[test]
fn receipts_come_before_caught_up_and_hide_read_where_it_is_off() {
    let mut client = Client::new();
    client.session.start(&mut Vec::new());
    client.done(Done::Inbox(Some(feed::Page { entries: vec![], end: true })));
    assert!(!client.session.catches_up(), "the receipts are still missing");
    client.hears(Notice::ReadReceipts { on: false }, NOW);
    let receipt =
        Receipt { chat: ChatId::User(bob()), user: bob(), delivered: NOW, read: NOW, rev: 7 };
    let page = receipts::Page { changes: vec![Change::Receipt(receipt)], end: true, last: 7 };
    let [Action::Say(server::Frame::Receipts { items })] =
        &client.done(Done::Receipts(Some(page)))[..]
    else {
        panic!()
    };
    assert_eq!(items[..], [Receipt { read: Micros(0), ..receipt }]);
    assert!(client.session.catches_up());
}

#[test]
fn a_device_is_spared_the_echo_of_its_own_reading() {
    let mut client = Client::caught_up();
    let device = client.me.device;
    let mut change = |device, rev| {
        let read = server::ReadSync { chat: ChatId::User(bob()), marks: [].into(), rev };
        let mut actions = Vec::new();
        client.session.changes(vec![Change::Read(read, device)], false, &mut actions);
        actions.len()
    };
    assert_eq!(change(Some(device), 1), 0);
    assert_eq!(change(Some(DeviceId::mint()), 2), 1);
    assert_eq!(change(None, 3), 1);
}

#[test]
fn a_message_that_cannot_be_read_is_put_aside_and_blocks_nothing() {
    let mut client = Client::caught_up();
    let garbage = Entry { seq: 1, stored: Bytes::from_static(b"garbage") };
    let mut actions = Vec::new();
    let live =
        vec![Live { entry: garbage.clone(), previous: 0 }, Live { entry: message(2), previous: 1 }];
    client.session.live(live, false, &mut actions);
    let frame = client.session.next_messages(&mut actions).unwrap();
    assert!(!String::from_utf8(frame).unwrap().contains("garbage"));
    assert_eq!(actions, [Action::Work(Work::Bury(garbage))]);
    let [Action::Acknowledge(acked)] = &client.says(r#"{"type":"ack","seq":2}"#)[..] else {
        panic!()
    };
    assert_eq!(acked.seqs, [1, 2]);
}

#[test]
fn what_nothing_tells_of_is_looked_for_again_and_again() {
    let mut client = Client::caught_up();
    for look in 1..=3 {
        let mut actions = Vec::new();
        client.session.settle(&mut actions);
        let [Action::Work(Work::ReadInbox(_)), Action::Work(Work::ReadReceipts(_))] = actions[..]
        else {
            panic!("{look}: {actions:?}")
        };
        client.done(Done::Inbox(Some(feed::Page { entries: vec![], end: true })));
        client.done(Done::Receipts(Some(receipts::Page { changes: vec![], end: true, last: 0 })));
    }
}
