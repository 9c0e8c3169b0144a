//! Which endpoints a server may be asked to send to.
//!
//! An endpoint is an address that a client names and the server then calls.
//! Without these rules a client could have it call whatever is near the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// Bytes of the longest endpoint.
pub const ENDPOINT_MAX: usize = 2_048;

/// What push services listen on: nothing else can be probed through the server.
const PORTS: [u16; 2] = [443, 8_443];

/// Why an endpoint is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Longer than [`ENDPOINT_MAX`].
    #[error("an endpoint has at most {ENDPOINT_MAX} bytes")]
    TooLong,
    /// No address at all.
    #[error("the endpoint is not a URL")]
    NotAUrl,
    /// Not encrypted, or not HTTP.
    #[error("an endpoint is an https: URL")]
    Scheme,
    /// It names a user or a password.
    #[error("an endpoint holds no user and no password")]
    UserInfo,
    /// Push services are not there.
    #[error("an endpoint's port is 443 or 8443")]
    Port,
    /// It is in a network of somebody's own.
    #[error("an endpoint's host is on the public internet")]
    NotPublic,
}

/// Checks an endpoint as far as its text goes. What its name leads to is to be
/// checked with [`is_public`] each time when it is connected to, because names
/// can lead elsewhere tomorrow. With `allow_loopback`, which is for development,
/// it may be on this machine, at any port and without TLS.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_endpoint(endpoint: &str, allow_loopback: bool) -> Result<Url, EndpointError> {
    if endpoint.len() > ENDPOINT_MAX {
        return Err(EndpointError::TooLong);
    }
    let url = Url::parse(endpoint).map_err(|_| EndpointError::NotAUrl)?;
    let host = url.host().ok_or(EndpointError::Scheme)?;
    let near = allow_loopback && is_loopback(&host);
    match url.scheme() {
        "https" => {}
        "http" if near => {}
        _ => return Err(EndpointError::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::UserInfo);
    }
    if near {
        return Ok(url);
    }
    if !url.port_or_known_default().is_some_and(|port| PORTS.contains(&port)) {
        return Err(EndpointError::Port);
    }
    let public = match host {
        Host::Domain(name) => is_qualified(name),
        Host::Ipv4(address) => is_public(address.into()),
        Host::Ipv6(address) => is_public(address.into()),
    };
    if public { Ok(url) } else { Err(EndpointError::NotPublic) }
}

/// Whether an address is one of the public internet's: not of this machine, a
/// private network, a provider's, a group, an example, or a way around the others.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address) && !SPECIAL_V6.iter().any(|net| net.contains(&address))
        }
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_localhost(name),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Names without a dot, and those under local domains, mean something to this
/// network only.
fn is_qualified(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let top = name.rsplit('.').next().unwrap_or(name);
    name.contains('.') && !LOCAL_DOMAINS.contains(&top) && !name.ends_with(".home.arpa")
}

const LOCAL_DOMAINS: [&str; 6] = ["localhost", "local", "internal", "lan", "home", "localdomain"];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// From IANA's registry of special-purpose addresses, and multicast.
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),       // this network
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // between a provider and its customers
    v4(127, 0, 0, 0, 8),     // this machine
    v4(169, 254, 0, 0, 16),  // this link; the clouds' metadata are here
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocols' own
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // relays to IPv6
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, and broadcast
];

/// All that is given out of IPv6. Outside of it are, among others, this machine,
/// this link, unique local addresses, multicast, and IPv4 in other clothes:
/// mapped, translated (`64:ff9b::/96`), compatible.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

const SPECIAL_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),     // protocols' own, Teredo among them
    v6(0x2001, 0xdb8, 32), // documentation
    v6(0x2002, 0, 16),     // 6to4: IPv4 inside
    v6(0x3fff, 0, 20),     // documentation
];

#[cfg(test)]
mod tests;
