//! Whatever passes as a push endpoint is a public server that is asked over TLS.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::push::{ENDPOINT_MAX, check_endpoint, is_public};
use url::Host;

fuzz_target!(|text: &str| {
    let Ok(url) = check_endpoint(text, false) else { return };
    assert_eq!(url.scheme(), "https", "{text:?}");
    assert!(url.username().is_empty() && url.password().is_none(), "{text:?}");
    match url.host() {
        Some(Host::Domain(name)) => assert!(name.contains('.') && name.is_ascii(), "{text:?}"),
        Some(Host::Ipv4(address)) => assert!(is_public(address.into()), "{text:?}"),
        Some(Host::Ipv6(address)) => assert!(is_public(address.into()), "{text:?}"),
        None => panic!("{text:?}"),
    }
    // What is sent to is what was checked, however it is written.
    if url.as_str().len() <= ENDPOINT_MAX {
        assert_eq!(check_endpoint(url.as_str(), false).as_ref(), Ok(&url), "{text:?}");
    }
    assert!(check_endpoint(text, true).is_ok(), "{text:?}");
});
