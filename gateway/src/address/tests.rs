#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use axum::http::HeaderValue;
use proptest::prelude::*;

use super::*;

const TRUSTED: &str = "10.0.0.0/8, fd00::/8";

fn behind(proxies: &str, forwarded_by: ForwardedBy) -> ProxyOptions {
    ProxyOptions { trusted_proxies: proxies.parse().unwrap(), forwarded_by }
}

fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
    let values = values.iter().map(|value| HeaderValue::from_str(value).unwrap());
    values.map(|value| (name.clone(), value)).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_peer_that_is_no_trusted_proxy_is_the_client_whatever_it_says() {
    for (proxies, peer) in [("", "10.0.0.1"), (TRUSTED, "192.0.2.1"), (TRUSTED, "2001:db8::1")] {
        for forwarded_by in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
            let mut said = headers(&X_FORWARDED_FOR, &["198.51.100.7"]);
            said.extend(headers(&FORWARDED, &["for=198.51.100.7"]));
            assert_eq!(behind(proxies, forwarded_by).client(ip(peer), &said), ip(peer));
        }
    }
}

#[test]
fn only_a_trusted_proxy_says_that_it_was_tls() {
    let options = behind(TRUSTED, ForwardedBy::XForwardedFor);
    let asked = |peer: &str, proto: &[&str]| {
        let mut said = headers(&HOST, &["chat.example:8443"]);
        said.extend(headers(&X_FORWARDED_PROTO, proto));
        options.origin(ip(peer), &said).unwrap()
    };
    assert_eq!(asked("10.0.0.1", &["https"]), "https://chat.example:8443");
    for (peer, proto) in [("10.0.0.1", &["http"][..]), ("10.0.0.1", &[]), ("192.0.2.1", &["https"])]
    {
        assert_eq!(asked(peer, proto), "http://chat.example:8443");
    }
    assert_eq!(options.origin(ip("10.0.0.1"), &HeaderMap::new()), None);
}

#[test]
fn the_last_who_is_no_trusted_proxy_is_the_client() {
    let options = behind(TRUSTED, ForwardedBy::XForwardedFor);
    for (values, client) in [
        (&["198.51.100.7"][..], "198.51.100.7"),
        (&["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        (&["198.51.100.7, 10.0.0.2, fd00::2"], "198.51.100.7"),
        (&["1.1.1.1", "198.51.100.7,10.0.0.2"], "198.51.100.7"),
        (&["198.51.100.7:4711"], "198.51.100.7"),
        (&["2001:db8::7"], "2001:db8::7"),
        (&["[2001:db8::7]"], "2001:db8::7"),
        (&["[2001:db8::7]:4711"], "2001:db8::7"),
        (&["::ffff:198.51.100.7"], "198.51.100.7"),
        // As far as can be seen.
        (&[], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&["unknown"], "10.0.0.1"),
        (&["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["198.51.100.7, nonsense"], "10.0.0.1"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ] {
        let said = headers(&X_FORWARDED_FOR, values);
        assert_eq!(options.client(ip("10.0.0.1"), &said), ip(client), "{values:?}");
        assert_eq!(options.client(ip("::ffff:10.0.0.1"), &said), ip(client), "{values:?}");
    }
    // The other header is the client's own.
    let said = headers(&FORWARDED, &["for=198.51.100.7"]);
    assert_eq!(options.client(ip("10.0.0.1"), &said), ip("10.0.0.1"));
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    let options = behind(TRUSTED, ForwardedBy::Forwarded);
    for (value, client) in [
        ("for=198.51.100.7", "198.51.100.7"),
        ("For=\"198.51.100.7:4711\"", "198.51.100.7"),
        ("proto=https; for=\"[2001:db8::7]:4711\" ;by=10.0.0.1", "2001:db8::7"),
        ("for=\"[2001:db8::7]\"", "2001:db8::7"),
        ("for=1.1.1.1, for=198.51.100.7;proto=http, for=10.0.0.2", "198.51.100.7"),
        // A quote that is left open swallows nothing.
        ("for=\"1.1.1.1, for=198.51.100.7", "198.51.100.7"),
        ("for=_hidden", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ("198.51.100.7", "10.0.0.1"),
    ] {
        let said = headers(&FORWARDED, &[value]);
        assert_eq!(options.client(ip("10.0.0.1"), &said), ip(client), "{value}");
    }
}

#[test]
fn networks_are_a_list() {
    for empty in ["", " ", ","] {
        assert_eq!(empty.parse(), Ok(Networks::default()));
    }
    let networks: Networks = "10.0.0.0/8,192.0.2.1, fd00::/8,::ffff:192.0.2.2".parse().unwrap();
    for inside in ["10.255.0.1", "192.0.2.1", "fd12::1", "192.0.2.2"] {
        assert!(networks.contain(ip(inside)), "{inside}");
    }
    for outside in ["11.0.0.1", "192.0.2.3", "fe80::1"] {
        assert!(!networks.contain(ip(outside)), "{outside}");
    }
    for wrong in ["10.0.0.0/33", "proxy", "10.0.0.0/8;fd00::/8", "10.0.0"] {
        assert!(wrong.parse::<Networks>().unwrap_err().contains("no network"), "{wrong}");
    }
}

#[test]
fn a_customer_is_one_address() {
    let of = |text| Address::of(ip(text));
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff:ffff:ffff:ffff"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}

/// Somebody who is no trusted proxy.
fn stranger() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
    .prop_filter("a proxy", |address: &IpAddr| {
        !TRUSTED.parse::<Networks>().unwrap().contain(address.to_canonical())
    })
}

fn proxy() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| Ipv4Addr::new(10, a, b, c).into()),
        any::<[u16; 7]>()
            .prop_map(|[a, b, c, d, e, f, g]| Ipv6Addr::new(0xfd00, a, b, c, d, e, f, g).into()),
    ]
}

/// What a proxy of either kind adds for whom it was asked by.
fn entry(forwarded_by: ForwardedBy, of: IpAddr) -> String {
    match (forwarded_by, of) {
        (ForwardedBy::XForwardedFor, of) => of.to_string(),
        (ForwardedBy::Forwarded, IpAddr::V4(of)) => format!("for={of};proto=https"),
        (ForwardedBy::Forwarded, IpAddr::V6(of)) => format!("proto=https;for=\"[{of}]:1\""),
    }
}

proptest! {
    /// Whatever a client writes into the headers, and however many proxies there
    /// are: it is the client that the first of them saw.
    #[test]
    fn nobody_can_pass_for_somebody_else(
        client in stranger(),
        proxies in prop::collection::vec((proxy(), any::<bool>()), 1..8),
        written in prop::collection::vec("[ -~]{0,60}", 0..4),
        by_forwarded in any::<bool>(),
    ) {
        let forwarded_by =
            if by_forwarded { ForwardedBy::Forwarded } else { ForwardedBy::XForwardedFor };
        let name = if by_forwarded { FORWARDED } else { X_FORWARDED_FOR };
        let mut values = written;
        let mut from = client;
        for (proxy, in_a_line_of_its_own) in proxies {
            let entry = entry(forwarded_by, from);
            match values.last_mut() {
                Some(last) if !in_a_line_of_its_own => *last = format!("{last}, {entry}"),
                _ => values.push(entry),
            }
            from = proxy;
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let options = behind(TRUSTED, forwarded_by);
        prop_assert_eq!(options.client(from, &headers(&name, &values)), client.to_canonical());
    }

    /// Whatever is written, somebody is named: the peer, or who is in there.
    #[test]
    fn nonsense_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), peer in proxy()) {
        let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
        for (name, forwarded_by) in
            [(X_FORWARDED_FOR, ForwardedBy::XForwardedFor), (FORWARDED, ForwardedBy::Forwarded)]
        {
            let said = HeaderMap::from_iter([(name, value.clone())]);
            behind(TRUSTED, forwarded_by).client(peer, &said);
        }
    }
}
