//! Whatever parses as an id is one safe subject token with one spelling.

#![no_main]

use std::{fmt::Display, str::FromStr};

use libfuzzer_sys::fuzz_target;
use schemas::{ChatId, DeviceId, GroupId, MediaId, MessageId, UserId};

fuzz_target!(|text: &str| {
    check::<UserId>(text);
    check::<GroupId>(text);
    check::<DeviceId>(text);
    check::<MediaId>(text);
    check::<ChatId>(text);
    check::<MessageId>(text);
});

fn check<T: FromStr + Display>(text: &str) {
    let Ok(id) = text.parse::<T>() else { return };
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    assert!((1..=64).contains(&text.len()) && text.bytes().all(safe), "{text:?}");
    assert_eq!(id.to_string(), text);
}
