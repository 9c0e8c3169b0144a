//! The way from HTTP to the socket.

use schemas::ErrorCode;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{people::PATIENCE, support};

/// The head of an answer: its status and its headers, in lower case.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Asks `GET /v1/ws` with these headers.
async fn get(headers: &[&str]) -> Answer {
    let stack = support::shared_stack().await;
    let mut stream = TcpStream::connect(stack.gateways()[0].addr()).await.unwrap();
    let mut request = "GET /v1/ws HTTP/1.1\r\nHost: petrel\r\n".to_owned();
    headers.iter().for_each(|header| request.extend([header, "\r\n"]));
    stream.write_all((request + "\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        // An answer to a handshake is over with its headers, and others are short.
        while !is_whole(&answer) {
            let mut some = [0; 4096];
            let length = stream.read(&mut some).await.unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&some[..length]);
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    parse(&answer)
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((_, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = parse(answer).header("content-length").map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}

fn parse(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: keep-alive, Upgrade";
const VERSION: &str = "Sec-WebSocket-Version: 13";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

#[tokio::test]
async fn a_handshake_is_taken_with_the_subprotocol_and_without() {
    for (protocol, spoken) in [
        (None, None),
        (Some("Sec-WebSocket-Protocol: petrel.v1"), Some("petrel.v1")),
        (Some("Sec-WebSocket-Protocol: petrel.v2, petrel.v1"), Some("petrel.v1")),
        (Some("Sec-WebSocket-Protocol: chat"), None),
    ] {
        let headers = [UPGRADE, CONNECTION, VERSION, KEY].into_iter().chain(protocol);
        let answer = get(&headers.collect::<Vec<_>>()).await;
        assert_eq!(answer.status, 101);
        // The example of RFC 6455 §1.3.
        let accept = answer.header("sec-websocket-accept");
        assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(answer.header("sec-websocket-protocol"), spoken);
        assert_eq!(answer.header("sec-websocket-extensions"), None, "nothing is compressed");
    }
    let compressed = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let answer = get(&[UPGRADE, CONNECTION, VERSION, KEY, compressed]).await;
    assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None));
}

#[tokio::test]
async fn what_is_no_handshake_is_told_to_upgrade() {
    for headers in [
        &[][..],
        &[UPGRADE, VERSION, KEY],
        &[CONNECTION, VERSION, KEY],
        &[UPGRADE, CONNECTION, KEY],
        &[UPGRADE, CONNECTION, VERSION],
        &[UPGRADE, CONNECTION, "Sec-WebSocket-Version: 8", KEY],
        &["Upgrade: h2c", CONNECTION, VERSION, KEY],
    ] {
        let answer = get(headers).await;
        assert_eq!(answer.status, 426, "{headers:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["status"], 426);
        assert_eq!(problem["code"], ErrorCode::Invalid.as_str());
    }
}
