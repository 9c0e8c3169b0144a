//! Who the tests are about.

use schemas::{ChatId, DeviceId, GroupId, MediaId, MessageId, Micros, Millis, UserId};

pub(crate) fn alice() -> UserId {
    UserId::from_parts(1_767_268_800_000, 1)
}

pub(crate) fn bob() -> UserId {
    UserId::from_parts(1_767_268_800_000, 2)
}

pub(crate) fn phone() -> DeviceId {
    DeviceId::from_parts(1_767_268_800_000, 3)
}

pub(crate) fn photo() -> MediaId {
    MediaId::from_parts(1_767_268_800_000, 4)
}

pub(crate) fn group() -> GroupId {
    GroupId::from_parts(1_767_268_800_000, 5)
}

pub(crate) fn with_bob() -> ChatId {
    ChatId::User(bob())
}

pub(crate) fn message() -> MessageId {
    "0198c3a2-7d31-7e9a-b1c5-3f0a6d2e4b17".parse().unwrap()
}

pub(crate) fn micros(micros: i64) -> Micros {
    Micros(1_767_268_800_000_000 + micros)
}

pub(crate) fn millis(millis: i64) -> Millis {
    Millis(1_767_268_800_000 + millis)
}
