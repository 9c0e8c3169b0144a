//! Whatever a client writes, the parser answers with a frame that says the same
//! when it is written again, or with a refusal that is fit to be sent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::{client::Frame, limits::BODY_BYTES, server};

fuzz_target!(|text: &str| {
    match Frame::parse(text) {
        Ok(frame) => {
            if let Frame::Send(send) = &frame {
                assert!(send.body.get().len() <= BODY_BYTES);
                send.body.typed().expect("an accepted body can be read");
            }
            let again = serde_json::to_string(&frame).expect("a frame is always JSON");
            assert_eq!(Frame::parse(&again).expect("what was written is read"), frame);
        }
        Err(refused) => {
            assert!(refused.message.len() <= 1024);
            let frame = server::Frame::Error(refused.into());
            assert_eq!(server::Frame::parse(&frame.to_json()).expect("an error frame"), frame);
        }
    }
});
