//! The HTTP clients that senders use, and what they have in common.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use reqwest::{
    Client, ClientBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, RETRY_AFTER},
    redirect,
};
use schemas::push::is_public;
use url::{Host, Url};

use super::{
    failure::{Failure, SetupError},
    options::PushOptions,
};

/// Bytes that are read of an answer: more than any provider's error takes.
const ANSWER_MAX: usize = 16 * 1024;
/// However long a provider asks us to wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Connections that are kept for each host.
const IDLE_CONNECTIONS: usize = 16;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(90);
/// A connection that does not answer an HTTP/2 ping within the second of these is
/// given up, so that one that is half open does not fail all requests on it.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A client that goes where it is sent and nowhere else: no redirects, no proxies.
fn builder(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent("petrel")
        .timeout(timeout)
        .connect_timeout(timeout)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(PING.0)
        .http2_keep_alive_timeout(PING.1)
        .http2_keep_alive_while_idle(true)
}

/// For addresses that the operator set.
pub(super) fn trusting(options: &PushOptions) -> Result<Client, SetupError> {
    builder(options.timeout()).build().map_err(SetupError::Client)
}

/// The same, speaking HTTP/2 alone, as APNs does.
pub(super) fn http2(options: &PushOptions) -> Result<Client, SetupError> {
    builder(options.timeout()).http2_prior_knowledge().build().map_err(SetupError::Client)
}

/// For addresses that clients named: it connects to the public internet only.
/// Addresses that are not names have to be checked before.
pub(super) fn wary(options: &PushOptions) -> Result<Client, SetupError> {
    let resolver = Wary { allow_loopback: options.push_allow_loopback };
    builder(options.timeout()).dns_resolver(resolver).build().map_err(SetupError::Client)
}

/// Checks an address that the operator set: https, or this machine. It comes back
/// without a slash at its end.
pub(super) fn base(setting: &'static str, url: &Url) -> Result<String, SetupError> {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        _ => return Err(SetupError::bad(setting, "an https: URL is needed")),
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Resolves names, and lets nothing through that is not public. It is asked for each
/// new connection, and the connection goes to an address of its answer: a name that
/// was public when it was registered is of no use to lead elsewhere.
#[derive(Debug, Clone, Copy)]
struct Wary {
    allow_loopback: bool,
}

impl Wary {
    fn allows(self, address: IpAddr) -> bool {
        is_public(address) || (self.allow_loopback && address.is_loopback())
    }
}

impl Resolve for Wary {
    fn resolve(&self, name: Name) -> Resolving {
        let wary = *self;
        Box::pin(async move {
            // The client puts in the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|addr| wary.allows(addr.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// A name that leads to nothing public.
#[derive(Debug)]
struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host is not on the public internet")
    }
}

impl Error for NotPublic {}

/// A request without an answer. Its text would hold the URL, and so a token.
impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::refused("a header or an address cannot be sent");
        }
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(inner) = cause {
            if inner.is::<NotPublic>() {
                return Self::refused(NotPublic.to_string());
            }
            cause = inner.source();
        }
        Self::broken(if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the connection broke"
        })
    }
}

/// The body of an answer, as far as it is read.
pub(super) async fn body(mut answer: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = ANSWER_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ANSWER_MAX {
            break;
        }
    }
    Ok(body)
}

/// How long a provider asks us to wait: in seconds, or until a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_wait_is_in_seconds_or_until_a_date_and_bounded() {
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 18:00:00 GMT").unwrap();
        for (text, secs) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Tue, 24 Nov 2026 18:01:30 GMT", Some(90)),
            ("Tue, 24 Nov 2026 17:00:00 GMT", Some(0)),
            ("Wed, 24 Nov 2027 18:00:00 GMT", Some(86_400)),
            ("99999999999", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), secs.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[tokio::test]
    async fn names_of_this_machine_are_not_resolved_unless_allowed() {
        let resolve = |allow_loopback| {
            let name = "localhost".parse().unwrap();
            Wary { allow_loopback }.resolve(name)
        };
        let refused = resolve(false).await.err().unwrap();
        assert!(refused.is::<NotPublic>(), "{refused}");
        assert!(resolve(true).await.unwrap().all(|addr| addr.ip().is_loopback()));
        let wary = Wary { allow_loopback: true };
        assert!(!wary.allows("10.0.0.1".parse().unwrap()));
        assert!(!wary.allows("::ffff:127.0.0.1".parse().unwrap()));
    }

    /// As the client has it, whatever was checked before.
    #[tokio::test]
    async fn a_wary_client_connects_to_no_name_of_this_machine() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let client = wary(&PushOptions::of(&[])).unwrap();
        let failure = Failure::from(client.post(&url).send().await.unwrap_err());
        assert_eq!(failure, Failure::refused(NotPublic.to_string()));

        let client = wary(&PushOptions::of(&["--push-allow-loopback"])).unwrap();
        tokio::select! {
            accepted = listener.accept() => drop(accepted.unwrap()),
            answer = client.post(&url).send() => panic!("{answer:?}"),
        }
    }

    #[test]
    fn an_operator_may_name_https_and_this_machine() {
        for (url, expected) in [
            ("https://fcm.googleapis.com", Some("https://fcm.googleapis.com")),
            ("https://10.0.0.1/fcm/", Some("https://10.0.0.1/fcm")),
            ("http://127.0.0.1:80/", Some("http://127.0.0.1")),
            ("http://[::1]:4711/", Some("http://[::1]:4711")),
            ("http://localhost/", Some("http://localhost")),
            ("http://fcm.googleapis.com", None),
            ("ftp://localhost", None),
            ("mailto:a@b", None),
        ] {
            let base = base("--url", &url.parse().unwrap()).ok();
            assert_eq!(base.as_deref(), expected, "{url}");
        }
    }
}
