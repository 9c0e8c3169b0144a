//! Ids: one spelling each, and never more than one subject token.

use schemas::{ChatId, DeviceId, GroupId, MediaId, MessageId, Sha256, UserId};

use crate::{
    people::{alice, group, phone, photo},
    refusals::near_ids,
};

#[test]
fn near_ids_are_none() {
    fn check<T: std::str::FromStr + std::fmt::Debug>(good: &str) {
        good.parse::<T>().unwrap_or_else(|_| panic!("{good} is one"));
        for near in near_ids(good) {
            assert!(near.parse::<T>().is_err(), "{near:?} is none");
        }
    }
    check::<UserId>(&alice().to_string());
    check::<GroupId>(&group().to_string());
    check::<DeviceId>(&phone().to_string());
    check::<MediaId>(&photo().to_string());
    check::<ChatId>(&alice().to_string());
    check::<ChatId>(&group().to_string());
}

#[test]
fn kinds_are_not_mixed_up() {
    assert!(phone().to_string().parse::<UserId>().is_err());
    assert!(alice().to_string().parse::<GroupId>().is_err());
    assert!(phone().to_string().parse::<ChatId>().is_err());
    assert!(photo().to_string().parse::<ChatId>().is_err());
    assert_eq!(alice().to_string().parse(), Ok(ChatId::User(alice())));
    assert_eq!(group().to_string().parse(), Ok(ChatId::Group(group())));
}

#[test]
fn the_smallest_and_the_largest() {
    let zero = UserId::from_parts(0, 0);
    let last = UserId::from_parts(u64::MAX, u128::MAX);
    assert_eq!(zero.to_string(), "u_00000000000000000000000000");
    assert_eq!(last.to_string(), "u_7zzzzzzzzzzzzzzzzzzzzzzzzz");
    assert_eq!(zero.to_string().parse(), Ok(zero));
    assert_eq!(last.to_string().parse(), Ok(last));
}

#[test]
fn minted_ids_differ() {
    let minted: std::collections::HashSet<UserId> = (0..1_000).map(|_| UserId::mint()).collect();
    assert_eq!(minted.len(), 1_000);
}

#[test]
fn what_is_wrong_is_said() {
    let said = |error: schemas::id::ParseIdError| error.to_string();
    insta::assert_snapshot!(
        [
            said("x".parse::<UserId>().unwrap_err()),
            said("x".parse::<ChatId>().unwrap_err()),
            said("".parse::<MessageId>().unwrap_err()),
        ]
        .join("\n")
    );
}

#[test]
fn a_digest_is_64_hexadecimal_digits() {
    let text = "00ff".repeat(16);
    let digest: Sha256 = text.parse().unwrap();
    assert_eq!((digest.to_string(), digest.0[..2].to_vec()), (text.clone(), vec![0, 255]));
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), digest);
    for wrong in ["", "00", &text.to_uppercase(), &format!("{text}0"), &text[1..], &"é".repeat(32)]
    {
        wrong.parse::<Sha256>().unwrap_err();
    }
}
