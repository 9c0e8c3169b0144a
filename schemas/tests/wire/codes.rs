//! Error codes, problems and close codes.

use std::fmt::Write as _;

use insta::{assert_json_snapshot, assert_snapshot};
use schemas::{CloseCode, ErrorCode, Problem};

#[test]
fn error_codes() {
    let mut table = String::new();
    for code in ErrorCode::ALL {
        let holds = if code.holds_chat() { ", holds its chat" } else { "" };
        writeln!(table, "{code} {}{holds}", code.status()).unwrap();
        // Both spellings are the same.
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        assert_eq!(code.as_str(), code.to_string());
    }
    assert_snapshot!(table);
}

#[test]
fn close_codes() {
    let mut table = String::new();
    for code in CloseCode::ALL {
        let back = if code.reconnect() { "reconnect" } else { "stay away" };
        writeln!(table, "{} {}: {back}", code.code(), code.reason()).unwrap();
        // A close frame's payload is at most 125 bytes, its code included.
        assert!(code.reason().len() <= 123);
    }
    assert_snapshot!(table);
}

#[test]
fn a_problem() {
    let problem = |retry_after_ms, detail: Option<&str>| Problem {
        status: ErrorCode::RateLimited.status(),
        title: "Too Many Requests".into(),
        code: ErrorCode::RateLimited,
        detail: detail.map(str::to_owned),
        retry_after_ms,
    };
    assert_json_snapshot!([problem(Some(800), Some("slower")), problem(None, None)]);
}
