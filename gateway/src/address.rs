//! Who is at the other end of a connection, as far as limits are concerned.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Once,
};

use axum::http::{
    HeaderMap, HeaderName,
    header::{FORWARDED, HOST},
};
use clap::{Args, ValueEnum};
use ipnet::IpNet;

/// Most proxies between a client and this gateway; nobody has so many.
const HOPS: usize = 16;
/// How much of an IPv6 address names a customer; the rest is theirs to choose.
const IPV6_NETWORK: u128 = !0 << 64;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// All that counts as one: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address(IpAddr);

/// Which proxies are in front of the gateways.
#[derive(Debug, Clone, Args)]
pub struct ProxyOptions {
    /// Networks of the proxies whose word counts for who a client is, separated
    /// by commas: 10.0.0.0/8,fd00::/8. Without it, all clients of a proxy count
    /// as one address.
    #[arg(long, env = "PETREL_TRUSTED_PROXIES", value_name = "CIDRS", default_value = "")]
    pub trusted_proxies: Networks,

    /// The header in which these proxies say it; each has to add to it, or to
    /// replace it.
    #[arg(long, env = "PETREL_FORWARDED_BY", value_enum, default_value = "x-forwarded-for")]
    pub forwarded_by: ForwardedBy,
}

/// A list of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// A header that names those who a request has come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ForwardedBy {
    /// The customary one.
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl Address {
    /// The one that this client counts under.
    pub(crate) fn of(client: IpAddr) -> Self {
        Self(match client.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
            address => address,
        })
    }
}

impl ProxyOptions {
    /// Who sent a request, which came from this peer with these headers.
    ///
    /// Everybody may write into the headers, but proxies add at the end. So
    /// they are read from there, and for as long as it is a trusted proxy that
    /// says so: the first who is none is the client, and what comes before is
    /// the client's own word.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        self.warn_once(headers);
        let mut hops = self.hops(headers);
        while self.trusted_proxies.contain(client) {
            // A proxy that names nobody is as far as anybody can see.
            let Some(Some(hop)) = hops.next() else { break };
            client = hop.to_canonical();
        }
        client
    }

    /// Where this request was sent to, as far as its host is named: what a
    /// trusted proxy says of TLS counts.
    pub(crate) fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> Option<String> {
        let host = headers.get(HOST)?.to_str().ok()?;
        let is_trusted = self.trusted_proxies.contain(peer.to_canonical());
        let proto = headers.get(X_FORWARDED_PROTO).filter(|_| is_trusted);
        let is_tls = proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
        Some(format!("{}://{host}", if is_tls { "https" } else { "http" }))
    }

    /// What the header says, the last first; nothing where it names no address.
    fn hops<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = Option<IpAddr>> + 'a {
        let (name, parse): (_, fn(&str) -> Option<IpAddr>) = match self.forwarded_by {
            ForwardedBy::XForwardedFor => (X_FORWARDED_FOR, parse_node),
            ForwardedBy::Forwarded => (FORWARDED, parse_element),
        };
        // A proxy's own entry has no comma inside, whatever a client before it
        // has written: quotes that it left open are of no account.
        let values = headers.get_all(name).into_iter().rev();
        let entries = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        entries.take(HOPS).map(move |entry| parse(str::from_utf8(entry).ok()?))
    }

    fn warn_once(&self, headers: &HeaderMap) {
        static WARNED: Once = Once::new();
        if self.trusted_proxies.0.is_empty()
            && (headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED))
        {
            WARNED.call_once(|| {
                tracing::warn!(
                    "requests seem to come through a proxy: unless PETREL_TRUSTED_PROXIES names \
                     it, all its clients share one address's limits"
                );
            });
        }
    }
}

/// The `for` of an element of `Forwarded`.
fn parse_element(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let node = node.trim();
    parse_node(node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node))
}

/// An address, with or without a port.
fn parse_node(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let bracketed = || node.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    node.parse::<IpAddr>()
        .ok()
        .or_else(|| node.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| bracketed().map(IpAddr::V6))
}

impl Networks {
    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = String;

    /// A single address stands for itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |network: &str| {
            let address = || network.parse::<IpAddr>().ok().map(|one| one.to_canonical().into());
            network.parse().ok().or_else(address).ok_or_else(|| {
                format!("{network:?} is no network, such as 10.0.0.0/8, and no address")
            })
        };
        let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
        networks.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests;
