#![allow(clippy::unwrap_used)]
use super::{EndpointError::*, *};

fn check(endpoint: &str) -> Result<(), EndpointError> {
    check_endpoint(endpoint, false).map(drop)
}

#[test]
fn those_of_push_services_pass() {
    for endpoint in [
        "https://fcm.googleapis.com/fcm/send/dpH5lCsT:APA91bHq-Z_x",
        "https://updates.push.services.mozilla.com/wpush/v2/gAAAAAB",
        "https://web.push.apple.com/QGuQyavXutnMH",
        "https://db5p.notify.windows.com/w/?token=BQYAAAD",
        "https://push.example.org:8443/up",
        "https://93.184.215.14/push",
        "https://[2606:4700::6810:84e5]/push",
        "https://PUSH.example.org./x#fragment",
    ] {
        assert_eq!(check(endpoint), Ok(()), "{endpoint}");
    }
}

#[test]
fn everything_else_is_refused_for_a_reason() {
    for (endpoint, reason) in [
        ("", NotAUrl),
        ("push.example.org", NotAUrl),
        ("https://", NotAUrl),
        ("https://[::1", NotAUrl),
        ("http://push.example.org/", Scheme),
        ("http://127.0.0.1/", Scheme),
        ("ftp://push.example.org/", Scheme),
        ("file:///etc/passwd", Scheme),
        ("data:text/plain,x", Scheme),
        ("gopher://push.example.org:443/", Scheme),
        ("https://user@push.example.org/", UserInfo),
        ("https://:password@push.example.org/", UserInfo),
        ("https://push.example.org@127.0.0.1/", UserInfo),
        ("https://push.example.org:80/", Port),
        ("https://push.example.org:22/", Port),
        ("https://127.0.0.1:6379/", Port),
        ("https://localhost/", NotPublic),
        ("https://localhost./", NotPublic),
        ("https://LOCALHOST/", NotPublic),
        ("https://a.localhost/", NotPublic),
        ("https://nats/", NotPublic),
        ("https://printer.local/", NotPublic),
        ("https://metadata.google.internal/", NotPublic),
        ("https://router.home.arpa/", NotPublic),
        ("https://127.0.0.1/", NotPublic),
        // The same address as people hide it.
        ("https://127.1/", NotPublic),
        ("https://2130706433/", NotPublic),
        ("https://0x7f.1/", NotPublic),
        ("https://0177.0.0.1/", NotPublic),
        ("https://%31%32%37.0.0.1/", NotPublic),
        ("https://①②⑦.0.0.1/", NotPublic),
        ("https://127.0.0.1./", NotPublic),
        ("https://0/", NotPublic),
        ("https://169.254.169.254/latest/meta-data/", NotPublic),
        ("https://[::1]/", NotPublic),
        ("https://[::ffff:10.0.0.1]/", NotPublic),
        ("https://[64:ff9b::7f00:1]/", NotPublic),
    ] {
        assert_eq!(check(endpoint), Err(reason), "{endpoint}");
    }
    let long = format!("https://push.example.org/{}", "x".repeat(ENDPOINT_MAX));
    assert_eq!(check(&long), Err(TooLong));
    assert_eq!(check(&long[..ENDPOINT_MAX]), Ok(()));
}

#[test]
fn loopback_has_to_be_allowed_and_allows_nothing_else() {
    for endpoint in [
        "http://127.0.0.1:4711/push",
        "https://127.9.9.9:1/",
        "http://[::1]:4711/push",
        "http://localhost:4711/",
        "https://push.localhost/",
    ] {
        assert!(check(endpoint).is_err(), "{endpoint}");
        assert!(check_endpoint(endpoint, true).is_ok(), "{endpoint}");
    }
    for (endpoint, reason) in [
        ("http://user@127.0.0.1/", UserInfo),
        ("http://push.example.org/", Scheme),
        ("ftp://127.0.0.1/", Scheme),
        ("https://10.0.0.1/", NotPublic),
        ("http://0.0.0.0/", Scheme),
        ("http://[::ffff:127.0.0.1]/", Scheme),
        ("http://localhost.example.org/", Scheme),
    ] {
        assert_eq!(check_endpoint(endpoint, true).map(drop), Err(reason), "{endpoint}");
    }
}

#[test]
fn an_address_is_public_or_it_is_not() {
    let public = |text: &str| is_public(text.parse().unwrap());
    for address in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:82a::200e",
        "3ffe::1",
    ] {
        assert!(public(address), "{address}");
    }
    for address in [
        "0.0.0.0",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.255.255",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "1fff:ffff::1",
        "2001::1",
        "2001:2::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!public(address), "{address}");
    }
}
