//! Below the frames of the protocol: WebSocket frames, and the TCP connection.

use std::{
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    time::Duration,
};

use dev::client::Received;
use futures_util::future::join;
use schemas::{CloseCode, server::Frame};
use serde_json::json;
use tokio::{io::Interest, time::timeout};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        CloseFrame, Frame as WireFrame,
        coding::{Data, OpCode},
    },
};

use crate::{
    people::{FIRST, Line, PATIENCE, Person, SECOND, ids, text},
    support::undisturbed,
};

/// Writes a frame of the WebSocket protocol as it is.
async fn write(line: &mut Line, payload: &[u8], opcode: OpCode, is_final: bool) {
    let frame = WireFrame::message(payload.to_vec(), opcode, is_final);
    line.socket.send_message(Message::Frame(frame)).await.unwrap();
}

/// Writes bytes past the WebSocket.
async fn write_raw(line: &Line, bytes: &[u8]) {
    let tcp = line.socket.tcp();
    tcp.ready(Interest::WRITABLE).await.unwrap();
    assert_eq!(tcp.try_write(bytes).unwrap(), bytes.len());
}

#[tokio::test]
async fn text_that_is_not_utf_8_closes() {
    let [alice] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    write(&mut line, b"{\"type\":\"ping\",\"x\":\"\xff\"}", OpCode::Data(Data::Text), true).await;
    line.is_closed(CloseCode::Misuse).await;
}

#[tokio::test]
async fn what_breaks_the_websocket_protocol_closes() {
    let ping = br#"{"type":"ping"}"#;
    let unmasked = [&[0x81, ping.len() as u8], &ping[..]].concat();
    // Masked with zeros, which leaves the payload as it is.
    let masked = |first: u8| [&[first, 0x80 | ping.len() as u8, 0, 0, 0, 0], &ping[..]].concat();
    for bytes in [
        unmasked,
        masked(0x83), // an opcode that is reserved
        masked(0xc1), // a compressed frame, which was not agreed on
        masked(0x80), // the end of a message that was not begun
        masked(0x09), // a ping in parts
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        let [alice] = Person::several().await;
        let mut line = alice.connect(SECOND).await;
        write_raw(&line, &bytes).await;
        line.is_closed(CloseCode::Misuse).await;
    }
}

#[tokio::test]
async fn a_frame_in_parts_is_put_together() {
    let [alice, bob] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    let message = text("m1", &bob, "in parts: ä").to_string().into_bytes();
    // A byte at a time, so that characters are cut in two.
    for (n, byte) in message.iter().enumerate() {
        let opcode = if n == 0 { Data::Text } else { Data::Continue };
        write(&mut line, &[*byte], OpCode::Data(opcode), n + 1 == message.len()).await;
        if n == 20 {
            line.socket.send_message(Message::Ping("between".into())).await.unwrap();
        }
    }
    line.hears_sent(&text("m1", &bob, "")).await;
    assert_eq!(ids(&bob.fetch(SECOND).await.items), ["m1"]);
}

#[tokio::test]
async fn the_parts_of_a_frame_count_together() {
    let [alice] = Person::several().await;
    let mut line = alice.connect(FIRST).await;
    for n in 0..65 {
        let opcode = if n == 0 { Data::Text } else { Data::Continue };
        let frame = WireFrame::message(vec![b' '; 1024], OpCode::Data(opcode), false);
        // It may have been closed by the last of them.
        let _ = line.socket.send_message(Message::Frame(frame)).await;
    }
    line.is_closed(CloseCode::TooBig).await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_words() {
    let [alice] = Person::several().await;
    let line = alice.connect(FIRST).await;
    let words = b"\x89\x85\0\0\0\0hello";
    write_raw(&line, words).await;
    let mut pong = [0; 7];
    let mut length = 0;
    let read = async {
        while length < pong.len() {
            let tcp = line.socket.tcp();
            tcp.ready(Interest::READABLE).await.unwrap();
            if let Ok(read) = tcp.try_read(&mut pong[length..]) {
                assert!(read > 0, "closed");
                length += read;
            }
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    assert_eq!(&pong, b"\x8a\x05hello");
}

#[tokio::test]
async fn a_close_is_answered_with_a_close() {
    let [alice] = Person::several().await;
    for code in [1000, 1001, 4000] {
        for mut line in [alice.connect(FIRST).await, alice.open(SECOND).await] {
            let close = CloseFrame { code: code.into(), reason: "bye".into() };
            line.socket.send_message(Message::Close(Some(close))).await.unwrap();
            let end = timeout(PATIENCE, line.socket.receive()).await.unwrap();
            assert_eq!(end, Received::Closed(Some(code)));
        }
    }
}

#[tokio::test]
async fn a_half_closed_socket_is_closed_and_its_messages_stay() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let b = bob.connect(SECOND).await;
    let tcp = TcpStream::from(b.socket.tcp().as_fd().try_clone_to_owned().unwrap());
    tcp.shutdown(Shutdown::Write).unwrap();
    // The gateway closes its side, too.
    let mut rest = [0; 64];
    let end = async {
        loop {
            b.socket.tcp().ready(Interest::READABLE).await.unwrap();
            if let Ok(0) = b.socket.tcp().try_read(&mut rest) {
                return;
            }
        }
    };
    timeout(PATIENCE, end).await.unwrap();
    a.sends(text("m1", &bob, "hi")).await;
    assert_eq!(ids(&bob.fetch(FIRST).await.items), ["m1"]);
}

#[tokio::test]
async fn a_connection_that_breaks_off_leaves_everything_in_place() {
    let [alice, bob] = Person::several().await;
    let mut a = alice.connect(FIRST).await;
    let mut b = bob.connect(SECOND).await;
    a.sends(text("m1", &bob, "hi")).await;
    b.gets().await;
    // Without a word, and with half a frame on its way.
    write_raw(&b, b"\x81\xfe\x10\x00").await;
    drop(b);
    a.sends(text("m2", &bob, "hi")).await;
    assert_eq!(ids(&bob.fetch(FIRST).await.items), ["m1", "m2"]);
}

#[tokio::test]
async fn who_is_silent_for_two_heartbeats_is_closed_and_who_answers_pings_is_not() {
    undisturbed(async || {
        let stack =
            crate::support::stack().env("PETREL_HEARTBEAT_SECS", "1").start().await.unwrap();
        let [alice, bob] = Person::several_on(&stack).await;
        let mut alive = alice.connect(FIRST).await;
        let mut silent = bob.connect(FIRST).await;
        // Reading answers the pings; not to read does not.
        let reads = timeout(Duration::from_secs(4), alive.socket.closed(PATIENCE));
        let (still, ()) = join(reads, tokio::time::sleep(Duration::from_secs(4))).await;
        assert!(still.is_err(), "closed though it answered");
        alive.say(json!({"type": "ping"})).await;
        assert!(matches!(alive.hears().await, Frame::Pong { .. }));
        silent.is_closed(CloseCode::Silent).await;
    })
    .await;
}
