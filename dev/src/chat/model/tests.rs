#![allow(clippy::unwrap_used)]

use schemas::{
    GroupId, Micros, RawBody,
    body::Role,
    http::GroupMember,
    server::{Presence, PresenceState},
};

use super::*;

fn user(n: u64) -> UserId {
    UserId::from_parts(n, 0)
}

fn chat(n: u64) -> ChatId {
    ChatId::User(user(n))
}

fn model() -> Model {
    Model::new(user(1), "alice", &[])
}

fn message(seq: u64, from: u64, ts: i64, text: &str) -> Event {
    Event::Message(Item {
        seq,
        id: format!("m{seq}").parse().unwrap(),
        chat: chat(from),
        from: user(from),
        ts: Micros(ts),
        after: None,
        body: RawBody::from(&Body::Text { text: text.into() }),
    })
}

fn apply(model: &mut Model, event: Event) -> (Vec<Note>, Vec<Effect>) {
    model.apply(Instant::now(), event);
    let notes = std::iter::from_fn(|| model.next_note()).collect();
    (notes, std::iter::from_fn(|| model.next_effect()).collect())
}

fn receipt(delivered: i64, read: i64) -> Event {
    let (delivered, read) = (Micros(delivered), Micros(read));
    Event::Receipts(vec![Receipt { chat: chat(2), user: user(2), delivered, read, rev: 1 }])
}

#[test]
fn messages_stand_in_order_and_are_read_where_they_are_seen() {
    let mut model = model();
    model.talk_to(user(2), "bob");
    let (notes, effects) = apply(&mut model, message(1, 2, 20, "second"));
    let said = Note::Said { chat: chat(2), from: user(2), text: "second".into() };
    assert_eq!(notes, [said]);
    assert_eq!(effects, [Effect::Stored(1), Effect::Read(chat(2), user(2), Micros(20))]);
    apply(&mut model, message(2, 2, 10, "first"));
    let texts: Vec<_> = model.shown().into_iter().map(|shown| shown.text).collect();
    assert_eq!(texts, ["first", "second"]);

    let (_, effects) = apply(&mut model, message(3, 3, 30, "psst"));
    assert_eq!(effects, [Effect::Stored(3)], "not read unseen");
    assert_eq!(model.take_nameless(), [user(3)]);
    model.name(user(3), "carol".into());
    assert_eq!(model.unread(), [("carol".to_owned(), 1)]);
    model.talk_to(user(3), "carol");
    assert_eq!(model.next_effect(), Some(Effect::Read(chat(3), user(3), Micros(30))));
    assert_eq!(model.unread(), []);
}

#[test]
fn ticks_turn_forward_only_and_each_is_told_once() {
    let mut model = model();
    model.talk_to(user(2), "bob");
    let id: MessageId = "x".parse().unwrap();
    model.waits(id.clone(), chat(2), "hi".into());
    assert!(model.any_waits());
    assert_eq!(model.shown()[0].tick, None);
    let sent = Sent { id, chat: chat(2), ts: Micros(10), full: Vec::new() };
    let (notes, _) = apply(&mut model, Event::Sent(sent.clone()));
    let ticked = |tick| Note::Ticked { text: "hi".into(), tick };
    assert_eq!(notes, [ticked(Tick::Sent)]);
    assert!(!model.any_waits());
    assert_eq!(apply(&mut model, Event::Sent(sent)).0, [], "told once");
    assert_eq!(apply(&mut model, receipt(9, 0)).0, []);
    assert_eq!(apply(&mut model, receipt(10, 0)).0, [ticked(Tick::Delivered)]);
    assert_eq!(apply(&mut model, receipt(10, 10)).0, [ticked(Tick::Read)]);
    assert_eq!(apply(&mut model, receipt(10, 0)).0, [], "never back");
    assert_eq!(model.shown()[0].tick, Some(Tick::Read));
}

#[test]
fn who_types_is_shown_until_they_say_something_or_stop() {
    let mut model = model();
    model.talk_to(user(2), "bob");
    let typing = |on| Event::Typing { chat: chat(2), from: user(2), on };
    let now = Instant::now();
    model.apply(now, typing(true));
    assert_eq!(model.typing(now), ["bob"]);
    model.apply(now, typing(false));
    assert_eq!(model.typing(now), [""; 0]);
    model.apply(now, typing(true));
    model.apply(now, message(1, 2, 1, "done"));
    assert_eq!(model.typing(now), [""; 0]);
}

#[test]
fn the_first_to_say_something_is_talked_to() {
    let mut model = model();
    apply(&mut model, message(1, 2, 1, "hello"));
    assert_eq!(model.current(), Some(chat(2)));
    assert_eq!(model.shown().len(), 1);
}

fn in_group(seq: u64, from: u64, body: &Body) -> Event {
    Event::Message(Item {
        seq,
        id: format!("m{seq}").parse().unwrap(),
        chat: club(),
        from: user(from),
        ts: Micros(seq.cast_signed()),
        after: None,
        body: RawBody::from(body),
    })
}

fn club() -> ChatId {
    ChatId::Group(GroupId::from_parts(9, 0))
}

#[test]
fn a_group_is_shown_with_what_happens_to_it() {
    let mut model = model();
    let members = vec![user(1), user(2), user(3)];
    let created = body::Event::GroupCreated { name: "chess".into(), members };
    let (notes, effects) = apply(&mut model, in_group(1, 2, &Body::Event(created.clone())));
    let happened = Note::Happened { chat: club(), from: user(2), event: created };
    assert_eq!((notes, effects), (vec![happened], vec![Effect::Stored(1)]));
    assert_eq!(model.take_nameless(), [user(2), user(3)]);
    assert_eq!(model.rooms.take_unknown(), []);
    model.name(user(2), "bob".into());
    model.name(user(3), "carol".into());
    assert_eq!(model.current().map(|chat| model.chat_name(chat)), Some("#chess".into()));

    let (_, effects) = apply(&mut model, in_group(2, 3, &Body::Text { text: "hi".into() }));
    assert_eq!(effects, [Effect::Stored(2), Effect::Read(club(), user(3), Micros(2))]);
    let removed = body::Event::MemberRemoved { user: user(3) };
    apply(&mut model, in_group(3, 2, &Body::Event(removed)));
    let shown: Vec<_> = model.shown().into_iter().map(|shown| (shown.name, shown.text)).collect();
    let expected = [("*", "bob made chess"), ("carol", "hi"), ("*", "bob removed carol")];
    assert_eq!(shown, expected.map(|(name, text)| (name, text.into())));
}

#[test]
fn a_message_to_a_group_got_as_far_as_with_the_last_it_was_for() {
    let mut model = model();
    let member = |n| GroupMember { user: user(n), role: Role::Member };
    let group = |members: &[u64]| Group {
        id: GroupId::from_parts(9, 0),
        name: "chess".into(),
        picture: None,
        members: members.iter().copied().map(member).collect(),
    };
    let say = |model: &mut Model, id: &str, ts, full| {
        let id: MessageId = id.parse().unwrap();
        model.waits(id.clone(), club(), "hi".into());
        apply(model, Event::Sent(Sent { id, chat: club(), ts: Micros(ts), full }))
    };
    let receipt = |n, delivered, read| {
        let (delivered, read) = (Micros(delivered), Micros(read));
        Event::Receipts(vec![Receipt { chat: club(), user: user(n), delivered, read, rev: 1 }])
    };
    say(&mut model, "first", 10, vec![]);
    assert_eq!(model.rooms.take_unknown(), [GroupId::from_parts(9, 0)]);
    model.group(&group(&[1, 2, 3]));
    model.talk_in(club());
    let ticks =
        |model: &Model| -> Vec<_> { model.shown().iter().filter_map(|shown| shown.tick).collect() };
    apply(&mut model, receipt(2, 10, 10));
    assert_eq!(ticks(&model), [Tick::Sent], "the other has not got it");
    let (notes, _) = apply(&mut model, receipt(3, 10, 0));
    assert_eq!(notes, [Note::Ticked { text: "hi".into(), tick: Tick::Delivered }]);

    // Who came later, and who had no room, is not waited for.
    say(&mut model, "second", 20, vec![user(3)]);
    model.group(&group(&[1, 2, 3, 4]));
    apply(&mut model, receipt(2, 20, 20));
    assert_eq!(ticks(&model), [Tick::Delivered, Tick::Read]);
    apply(&mut model, receipt(3, 10, 10));
    assert_eq!(ticks(&model), [Tick::Read, Tick::Read]);
}

#[test]
fn all_who_spoke_in_a_group_are_read_when_it_is_looked_at() {
    let mut model = model();
    model.talk_to(user(5), "eve");
    for (seq, from) in [(1, 2), (2, 3), (3, 2)] {
        apply(&mut model, in_group(seq, from, &Body::Text { text: "hi".into() }));
    }
    let renamed = body::Event::GroupRenamed { name: "go".into() };
    apply(&mut model, in_group(4, 4, &Body::Event(renamed)));
    assert_eq!(model.unread(), [("#go".to_owned(), 3)]);
    model.talk_in(club());
    let effects: Vec<_> = std::iter::from_fn(|| model.next_effect()).collect();
    let read = |from, ts| Effect::Read(club(), user(from), Micros(ts));
    assert_eq!(effects, [read(2, 3), read(3, 2)]);
    assert_eq!(model.unread(), []);
}

#[test]
fn who_types_in_a_group_is_shown_there() {
    let mut model = model();
    model.talk_in(club());
    model.name(user(2), "bob".into());
    model.name(user(3), "carol".into());
    let now = Instant::now();
    for from in [2, 3] {
        model.apply(now, Event::Typing { chat: club(), from: user(from), on: true });
    }
    let mut typing = model.typing(now);
    typing.sort_unstable();
    assert_eq!(typing, ["bob", "carol"]);
    model.talk_to(user(2), "bob");
    assert_eq!(model.typing(now), [""; 0]);
}

#[test]
fn those_one_talks_with_are_watched_and_told_of() {
    let mut model = model();
    let there = |n| Presence { user: user(n), state: PresenceState::Online, last_seen: None };
    let now = Millis::now();
    assert_eq!((model.watch(), model.who_is_there(now)), (None, None));
    model.talk_to(user(2), "bob");
    assert_eq!(model.watch(), Some(vec![user(2)]));
    assert_eq!(model.watch(), None, "they are watched already");
    assert_eq!(model.who_is_there(now), None, "it is not known yet");
    apply(&mut model, Event::Presence(vec![there(2)]));
    assert_eq!(model.who_is_there(now).unwrap(), "bob is online");

    let members = vec![user(1), user(2), user(3)];
    let created = body::Event::GroupCreated { name: "chess".into(), members };
    apply(&mut model, in_group(1, 2, &Body::Event(created)));
    model.talk_in(club());
    assert_eq!(model.watch(), Some(vec![user(2), user(3)]));
    assert_eq!(model.who_is_there(now).unwrap(), "1 of 2 others online");
    let left = body::Event::MemberLeft { user: user(3) };
    apply(&mut model, in_group(2, 3, &Body::Event(left)));
    assert_eq!(model.watch(), Some(vec![user(2)]));
    model.talk_in(ChatId::User(user(1)));
    assert_eq!((model.watch(), model.who_is_there(now)), (Some(vec![]), None));
}
