//! What the types look like in practice: two people, Alice and Bob, and what
//! they and their clients say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Body, ChatId, DeviceId, ErrorCode, GroupId, MediaId, MessageId, Micros, Millis, Problem,
    RawBody, UserId,
    body::{Media, Role},
    client,
    http::{
        Device, Group, GroupMember, LastSeen, List, Login, LoginDevice, Me, MediaInfo, MediaState,
        NewGroup, NewMedia, PatchGroup, PatchMe, PatchSettings, Profile, PutMember, Refresh,
        Register, Reservation, Session, Settings, UploadMethod, UploadRequest, VapidKey,
    },
    limits::{ACCESS_TOKEN, HEARTBEAT},
    push::{PushTarget, WebPushKeys},
    server::{self, Presence, PresenceState},
};

/// Noon of 2026-01-01, in milliseconds.
const NOON: u64 = 1_767_268_800_000;
const ACCESS: &str = "eyJhbGciOiJIUzI1NiJ9.access.signature";
const REFRESH: &str = "eyJhbGciOiJIUzI1NiJ9.refresh.signature";

/// Something that can show itself.
pub(super) trait Example {
    fn example() -> Self;
}

/// Examples of a client's frames by their `type`.
pub(super) fn client_frames() -> BTreeMap<String, Vec<Value>> {
    let chat = ChatId::User(bob());
    let picture = client::Send {
        body: RawBody::from(&picture()),
        at: None,
        after: None,
        ..client::Send::example()
    };
    by_type([
        client::Frame::Hello(client::Hello { token: ACCESS.into(), receipts_after: 41 }),
        client::Frame::Auth(client::Auth { token: ACCESS.into() }),
        client::Frame::Send(client::Send::example()),
        client::Frame::Send(picture),
        client::Frame::Drop(client::Drop { id: message("0198c3a2-7d31-7e9a-b1c5-3f0a6d2e4b17") }),
        client::Frame::Ack(client::Ack::example()),
        client::Frame::Read(client::Read::example()),
        client::Frame::Typing(client::Typing { chat, on: true }),
        client::Frame::Watch(client::Watch { users: vec![bob()] }),
        client::Frame::Ping {},
    ])
}

/// Examples of the server's frames by their `type`.
pub(super) fn server_frames() -> BTreeMap<String, Vec<Value>> {
    let chat = ChatId::User(bob());
    let receipt =
        server::Receipt { chat, user: bob(), delivered: micros(0), read: micros(-5_000), rev: 42 };
    let read = server::ReadSync { chat, marks: [(bob(), micros(4_000_000))].into(), rev: 43 };
    let present = |state, last_seen| server::Presence { user: bob(), state, last_seen };
    by_type([
        server::Frame::Welcome(welcome()),
        server::Frame::Messages { items: vec![item()] },
        server::Frame::CaughtUp {},
        server::Frame::Sent(server::Sent::example()),
        server::Frame::Receipts { items: vec![receipt] },
        server::Frame::Read { items: vec![read] },
        server::Frame::Presence { items: vec![present(server::PresenceState::Online, None)] },
        server::Frame::Presence {
            items: vec![present(server::PresenceState::Offline, Some(millis(0)))],
        },
        server::Frame::Typing { chat, from: bob(), on: true },
        server::Frame::Pong { now: millis(0) },
        server::Frame::Drain { after_ms: 1_500 },
        server::Frame::Error(server::Error {
            code: ErrorCode::RateLimited,
            message: "too fast".into(),
            reference: Some("0198c3a2-7d31-7e9a-b1c5-3f0a6d2e4b17".into()),
            retry_after_ms: Some(800),
        }),
    ])
}

fn by_type<T: serde::Serialize>(
    frames: impl IntoIterator<Item = T>,
) -> BTreeMap<String, Vec<Value>> {
    let mut all = BTreeMap::<String, Vec<Value>>::new();
    for frame in frames {
        let frame = json!(frame);
        let tag = frame["type"].as_str().unwrap_or_default().to_owned();
        all.entry(tag).or_default().push(frame);
    }
    all
}

fn welcome() -> server::Welcome {
    server::Welcome {
        user: alice(),
        device: phone(),
        session: "s-7f3a".into(),
        gateway: "gateway-1".into(),
        now: millis(0),
        heartbeat_secs: HEARTBEAT.as_secs(),
        limits: server::Limits::V1,
    }
}

fn item() -> server::Item {
    server::Item {
        seq: 1_207,
        id: message("0198c3a2-81f0-7c44-9d2b-5e8f7a1c6d03"),
        chat: ChatId::User(bob()),
        from: bob(),
        ts: micros(4_000_000),
        after: Some(micros(0)),
        body: RawBody::from(&Body::Text { text: "One moment, I'll look.".into() }),
    }
}

fn text() -> Body {
    Body::Text { text: "Is the ferry on time?".into() }
}

fn picture() -> Body {
    Body::Media(Media {
        media: MediaId::from_parts(NOON, 5),
        name: "ferry.jpg".into(),
        mime: "image/jpeg".into(),
        size: 184_320,
        width: Some(1280),
        height: Some(960),
        thumbnail: None,
        caption: Some("Here it comes".into()),
    })
}

fn alice() -> UserId {
    UserId::from_parts(NOON, 1)
}

fn bob() -> UserId {
    UserId::from_parts(NOON, 2)
}

fn phone() -> DeviceId {
    DeviceId::from_parts(NOON, 3)
}

#[allow(clippy::expect_used, reason = "a constant of this file, seen by every test of it")]
fn message(id: &str) -> MessageId {
    id.parse().expect("an example's message id is one")
}

fn micros(after_noon: i64) -> Micros {
    Micros(NOON as i64 * 1_000 + after_noon)
}

fn millis(after_noon: i64) -> Millis {
    Millis(NOON as i64 + after_noon)
}

impl Example for Register {
    fn example() -> Self {
        Self {
            username: "alice".into(),
            password: "correct horse battery staple".into(),
            name: "Alice".into(),
            phone: None,
            device: Some(LoginDevice {
                id: None,
                name: Some("Alice's phone".into()),
                platform: Some("android".into()),
            }),
        }
    }
}

impl Example for Login {
    fn example() -> Self {
        Self {
            username: "alice".into(),
            password: "correct horse battery staple".into(),
            device: Some(LoginDevice { id: Some(phone()), name: None, platform: None }),
        }
    }
}

impl Example for Refresh {
    fn example() -> Self {
        Self { refresh_token: REFRESH.into() }
    }
}

impl Example for Session {
    fn example() -> Self {
        Self {
            user: alice(),
            device: phone(),
            access_token: ACCESS.into(),
            expires_in: ACCESS_TOKEN.as_secs(),
            refresh_token: REFRESH.into(),
        }
    }
}

impl Example for Me {
    fn example() -> Self {
        Self {
            id: alice(),
            username: "alice".into(),
            name: "Alice".into(),
            picture: None,
            phone: None,
            settings: Settings::default(),
        }
    }
}

impl Example for PatchMe {
    fn example() -> Self {
        Self {
            name: Some("Alice L.".into()),
            picture: Some(None),
            phone: None,
            settings: Some(PatchSettings {
                last_seen: Some(LastSeen::Nobody),
                ..PatchSettings::default()
            }),
        }
    }
}

impl Example for List<Device> {
    fn example() -> Self {
        Self {
            items: vec![Device {
                id: phone(),
                name: Some("Alice's phone".into()),
                platform: Some("android".into()),
                linked: millis(0),
                current: true,
            }],
        }
    }
}

impl Example for List<UserId> {
    fn example() -> Self {
        Self { items: vec![UserId::from_parts(NOON, 4)] }
    }
}

impl Example for List<Presence> {
    fn example() -> Self {
        let items = vec![Presence {
            user: bob(),
            state: PresenceState::Offline,
            last_seen: Some(millis(0)),
        }];
        Self { items }
    }
}

impl Example for List<Profile> {
    fn example() -> Self {
        Self {
            items: vec![Profile {
                id: bob(),
                username: "bob".into(),
                name: "Bob".into(),
                picture: Some(MediaId::from_parts(NOON, 6)),
            }],
        }
    }
}

impl Example for Group {
    fn example() -> Self {
        let admin = GroupMember { user: alice(), role: Role::Admin };
        let member = GroupMember { user: bob(), role: Role::Member };
        Self {
            id: GroupId::from_parts(NOON, 7),
            name: "Ferry to the islands".into(),
            picture: None,
            members: vec![admin, member],
        }
    }
}

impl Example for List<Group> {
    fn example() -> Self {
        Self { items: vec![Group::example()] }
    }
}

impl Example for NewGroup {
    fn example() -> Self {
        Self { name: "Ferry to the islands".into(), members: vec![bob()] }
    }
}

impl Example for PatchGroup {
    fn example() -> Self {
        Self { name: Some("Ferry on Sunday".into()), picture: None }
    }
}

impl Example for PutMember {
    fn example() -> Self {
        Self { role: Some(Role::Admin) }
    }
}

impl Example for NewMedia {
    fn example() -> Self {
        Self {
            name: "Harbour.jpg".into(),
            mime: "image/jpeg".into(),
            size: 2_140_113,
            sha256: None,
        }
    }
}

impl Example for Reservation {
    fn example() -> Self {
        let id = MediaId::from_parts(NOON, 6);
        let url = format!("https://chat.example/v1/media/{id}/upload?token=eyJhbGciOiJIUzI1NiJ9");
        let headers = [("content-length", "2140113"), ("content-type", "image/jpeg")];
        Self {
            id,
            upload: UploadRequest {
                method: UploadMethod::Put,
                url: url.clone(),
                headers: headers.map(|(name, value)| (name.into(), value.into())).into(),
            },
            resumable: url,
            expires: millis(24 * 60 * 60 * 1000),
        }
    }
}

impl Example for MediaInfo {
    fn example() -> Self {
        Self {
            id: MediaId::from_parts(NOON, 6),
            state: MediaState::Ready,
            reason: None,
            name: "Harbour.jpg".into(),
            mime: "image/jpeg".into(),
            size: 1_903_470,
            width: Some(4_032),
            height: Some(3_024),
            thumbnail: true,
            created: millis(0),
            expires: millis(30 * 24 * 60 * 60 * 1000),
        }
    }
}

/// The keys are those of RFC 8291, appendix A.
impl Example for PushTarget {
    fn example() -> Self {
        let p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SR\
            pkNtoIAiw4";
        let keys = WebPushKeys { p256dh: p256dh.into(), auth: "BTBZMqHH6r4Tts7J_aSIgg".into() };
        Self::Webpush {
            endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMs".into(),
            keys,
        }
    }
}

/// The key is that of RFC 8292, section 2.4.
impl Example for VapidKey {
    fn example() -> Self {
        let public_key = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9o\
            jSwk5Y2EmClBPs";
        Self { public_key: public_key.into() }
    }
}

impl Example for client::Send {
    fn example() -> Self {
        Self {
            id: message("0198c3a2-7d31-7e9a-b1c5-3f0a6d2e4b17"),
            chat: ChatId::User(bob()),
            body: RawBody::from(&text()),
            at: Some(micros(0)),
            after: Some(micros(-5_000)),
        }
    }
}

impl Example for server::Sent {
    fn example() -> Self {
        Self {
            id: message("0198c3a2-7d31-7e9a-b1c5-3f0a6d2e4b17"),
            chat: ChatId::User(bob()),
            ts: micros(0),
            full: Vec::new(),
        }
    }
}

impl Example for List<server::Item> {
    fn example() -> Self {
        Self { items: vec![item()] }
    }
}

impl Example for client::Ack {
    fn example() -> Self {
        Self { seq: item().seq }
    }
}

impl Example for client::Read {
    fn example() -> Self {
        Self { chat: ChatId::User(bob()), marks: [(bob(), micros(-5_000))].into() }
    }
}

impl Example for Problem {
    fn example() -> Self {
        Self {
            status: ErrorCode::Conflict.status(),
            title: "Conflict".into(),
            code: ErrorCode::Conflict,
            detail: Some("this username is taken".into()),
            retry_after_ms: None,
        }
    }
}
