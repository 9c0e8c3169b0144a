//! What a gateway or worker tells the process that started it.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};

/// How the line begins; no log line does.
const BEGIN: &str = r#"{"petrel_ready":"#;

/// Printed as one line of JSON on stdout by a part once it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    petrel_ready: bool,
    /// Where clients are served; a worker has none.
    pub(crate) addr: Option<SocketAddr>,
    /// Where metrics and probes are.
    pub(crate) admin_addr: SocketAddr,
}

impl Announcement {
    pub(crate) fn gateway(addr: SocketAddr, admin_addr: SocketAddr) -> Self {
        Self { petrel_ready: true, addr: Some(addr), admin_addr }
    }

    pub(crate) fn worker(admin_addr: SocketAddr) -> Self {
        Self { petrel_ready: true, addr: None, admin_addr }
    }

    /// Tells the parent.
    pub(crate) fn print(&self) -> io::Result<()> {
        writeln!(io::stdout(), "{}", serde_json::to_string(self)?)
    }

    /// Whether a line is one.
    pub(crate) fn is(line: &str) -> bool {
        line.starts_with(BEGIN)
    }

    pub(crate) fn parse(line: &str) -> serde_json::Result<Self> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_printed_line_is_recognised_and_read_back() {
        let addr = "127.0.0.1:8080".parse().unwrap();
        for told in [Announcement::gateway(addr, addr), Announcement::worker(addr)] {
            let line = serde_json::to_string(&told).unwrap();
            assert!(Announcement::is(&line), "{line}");
            assert_eq!(Announcement::parse(&line).unwrap(), told);
        }
        assert!(!Announcement::is(r#"{"timestamp":"now"}"#));
    }
}
