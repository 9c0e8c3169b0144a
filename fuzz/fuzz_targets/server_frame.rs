//! What a client written in Rust reads from a server, and what the server reads
//! of its own stored messages.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::{
    server::Frame,
    stored::{Head, StoredMessage},
};

fuzz_target!(|text: &str| {
    if let Ok(frame) = Frame::parse(text) {
        assert_eq!(Frame::parse(&frame.to_json()).expect("what was written is read"), frame);
    }
    if let Ok(message) = serde_json::from_str::<StoredMessage>(text)
        && let Ok(head) = Head::parse(text.as_bytes())
    {
        assert_eq!((head.chat, head.from, head.ts), (message.chat, message.from, message.ts));
    }
});
