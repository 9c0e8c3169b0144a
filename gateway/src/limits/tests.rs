#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};

use clap::Parser as _;
use schemas::{DeviceId, client};

use super::*;
use crate::{address::Address, config::Config};

fn limits(arguments: &[&str]) -> Limits {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let command = ["gateway", "--signing-key", key];
    let config = Config::try_parse_from(command.iter().chain(arguments)).unwrap();
    Limits::new(&config.limits)
}

fn address(last: u8) -> Address {
    Address::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
}

fn name(name: &str) -> Door {
    Door::of(&name.parse().unwrap())
}

#[test]
fn each_user_has_a_burst_of_their_own() {
    let limits = limits(&["--user-limit-sends", "3,20/s"]);
    let (alice, bob) = (UserId::mint(), UserId::mint());
    for _ in 0..3 {
        limits.sends.take(alice).unwrap();
    }
    let refused = limits.sends.take(alice).unwrap_err();
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!((1..=50).contains(&refused.retry_after_ms.unwrap()), "{refused:?}");
    limits.sends.take(bob).unwrap();
}

#[test]
fn off_is_off() {
    for arguments in [&["--limits", "off"][..], &["--user-limit-sends", "off"]] {
        let limits = limits(arguments);
        let alice = UserId::mint();
        assert!((0..1000).all(|_| limits.sends.take(alice).is_ok()));
    }
    let limits = limits(&["--limits", "off"]);
    for _ in 0..1000 {
        drop(limits.logins.attempt(address(1), name("alice")).unwrap());
    }
}

#[test]
fn what_is_configured_wrongly_is_told() {
    for wrong in [["--user-limit-sends", "many"], ["--user-login-delay", "60,20/s"]] {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let command = ["gateway", "--signing-key", key].into_iter().chain(wrong);
        let error = Config::try_parse_from(command).unwrap_err().to_string();
        assert!(error.contains(wrong[0]) && error.contains("expected something like"), "{error}");
    }
}

#[test]
fn frames_are_counted_by_what_they_ask_for() {
    let limits = limits(&[
        "--user-limit-watches=1,1/h",
        "--user-limit-reads=1,1/h",
        "--user-limit-renewals=1,1/h",
        "--user-limit-typing=1,1/h",
    ]);
    let alice = UserId::mint();
    let frame = |json: String| client::Frame::parse(&json).unwrap();
    let peer = UserId::mint();
    for (kind, json) in [
        ("watch", r#"{"type":"watch","users":[]}"#.to_owned()),
        ("read", format!(r#"{{"type":"read","chat":"{peer}","marks":{{}}}}"#)),
        ("auth", r#"{"type":"auth","token":"t"}"#.to_owned()),
    ] {
        let frame = frame(json);
        assert_eq!(limits.admit(alice, &frame), Admission::Taken);
        let Admission::Refused(name, refusal) = limits.admit(alice, &frame) else { panic!() };
        assert_eq!((name, refusal.code), (kind, ErrorCode::RateLimited));
        assert_eq!(limits.admit(peer, &frame), Admission::Taken, "each user has their own");
    }
    let typing = frame(format!(r#"{{"type":"typing","chat":"{peer}","on":true}}"#));
    assert_eq!(limits.admit(alice, &typing), Admission::Taken);
    assert_eq!(limits.admit(alice, &typing), Admission::Shed);
    let ping = frame(r#"{"type":"ping"}"#.to_owned());
    assert!((0..1000).all(|_| limits.admit(alice, &ping) == Admission::Taken));
}

#[test]
fn wrong_passwords_close_one_door_and_leave_the_others() {
    let limits = limits(&["--user-login-delay=3,1h..1h", "--address-login-delay=off"]);
    let logins = &limits.logins;
    for guess in 0..3 {
        drop(logins.attempt(address(guess), name("Alice")).unwrap());
    }
    // From wherever, however it is spelled, and however right it is.
    let refused = logins.attempt(address(9), name("alice")).unwrap_err();
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.retry_after_ms.unwrap() > 3_500_000, "{refused:?}");
    drop(logins.attempt(address(1), name("bob")).unwrap());
    // Her own devices are not kept out by it.
    let device = Door::Device(DeviceId::mint());
    logins.attempt(address(9), device.clone()).unwrap().succeeded();
    logins.attempt(address(9), name("alice")).unwrap_err();
    for _ in 0..3 {
        drop(logins.attempt(address(9), device.clone()).unwrap());
    }
    logins.attempt(address(9), device).unwrap_err();
}

#[test]
fn the_right_password_opens_the_door_and_not_the_address() {
    let limits = limits(&["--user-login-delay=3,1h..1h", "--address-login-delay=5,1h..1h"]);
    let logins = &limits.logins;
    for _ in 0..2 {
        drop(logins.attempt(address(1), name("alice")).unwrap());
    }
    for _ in 0..100 {
        logins.attempt(address(1), name("alice")).unwrap().succeeded();
        logins.attempt(address(1), name("bob")).unwrap().take_back();
    }
    for _ in 0..2 {
        drop(logins.attempt(address(1), name("alice")).unwrap());
    }
    drop(logins.attempt(address(1), name("carol")).unwrap());
    logins.attempt(address(1), name("alice")).unwrap_err();
    logins.attempt(address(1), name("dave")).unwrap_err();
    // A door that was tried from a closed address has nothing to suffer.
    for _ in 0..3 {
        drop(logins.attempt(address(2), name("dave")).unwrap());
    }
    // Nor an address in front of a closed door.
    for _ in 0..100 {
        logins.attempt(address(2), name("dave")).unwrap_err();
    }
    drop(logins.attempt(address(2), name("erin")).unwrap());
}

#[test]
fn of_many_at_once_no_more_get_in_than_of_many_in_turn() {
    let limits = limits(&["--user-login-delay=3,1h..1h"]);
    let attempts: Vec<_> =
        (0..100).filter_map(|n| limits.logins.attempt(address(n), name("alice")).ok()).collect();
    assert_eq!(attempts.len(), 3);
}
