//! A gateway that is asked to leave: nobody loses a message.

use std::collections::VecDeque;

use dev::client::{Buffers, Received, Socket, SocketError};
use schemas::server::Frame;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    people::{FIRST, Line, PATIENCE, Person, SECOND, ids, text},
    support,
};

/// How many messages are on their way at any time.
const AHEAD: usize = 8;

/// Somebody who sends without a pause.
struct Sender<'a> {
    to: &'a Person,
    next: usize,
    unanswered: VecDeque<Value>,
}

impl Sender<'_> {
    fn next(&mut self) -> Value {
        let message = text(format!("m{}", self.next), self.to, "hi");
        self.next += 1;
        self.unanswered.push_back(message.clone());
        message
    }

    /// Sends until the line is closed, and acts on its one `drain`; the close code.
    async fn run(&mut self, line: &mut Line, on_drain: impl AsyncFnOnce(u64)) -> Option<u16> {
        for _ in 0..AHEAD {
            line.say(self.next()).await;
        }
        let mut on_drain = Some(on_drain);
        loop {
            let received = timeout(PATIENCE, line.socket.receive()).await.unwrap();
            let frame = match received {
                Received::Text(text) => Frame::parse(&text).unwrap(),
                Received::Ping | Received::Other => continue,
                Received::Closed(code) => return code,
            };
            match frame {
                Frame::Sent(sent) => {
                    let oldest = self.unanswered.pop_front().unwrap();
                    assert_eq!(oldest["id"], sent.id.as_str());
                    // The line may be closed at any moment now.
                    let _ = line.socket.send_text(self.next().to_string()).await;
                }
                Frame::Drain { after_ms } => on_drain.take().expect("one drain")(after_ms).await,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_gateway_that_leaves_says_so_and_finishes_what_is_in_flight() {
    let stack = support::stack().gateways(2).limits(false).start().await.unwrap();
    let leaving = &stack.gateways()[FIRST];
    let [alice, bob] = Person::several_on(&stack).await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(FIRST).await);
    let mut sender = Sender { to: &bob, next: 0, unanswered: VecDeque::new() };

    leaving.terminate();
    let closed = sender.run(&mut a, async |after_ms| {
        // Within half the time it gives its clients to move.
        assert!(after_ms <= 500, "{after_ms} ms");
        let ready = reqwest::get(format!("{}/readyz", leaving.url())).await.unwrap();
        assert_eq!(ready.status(), 503);
        let connected = Socket::connect(bob.account.api.base(), Buffers::SMALL).await;
        assert!(matches!(connected, Err(SocketError::Upgrade(_))), "{connected:?}");
    });
    assert_eq!(closed.await, Some(1012));
    assert_eq!(closes_after_drain(&mut b).await, Some(1012));
    assert!(leaving.exited().await.is_some_and(|status| status.success()));

    // What was answered is stored, and what was not is sent again: each message
    // is there once and in order.
    let mut a = alice.connect(SECOND).await;
    for message in &sender.unanswered {
        a.sends(message.clone()).await;
    }
    let expected: Vec<_> = (0..sender.next).map(|n| format!("m{n}")).collect();
    assert!(expected.len() > 2 * AHEAD, "{} is not busy", expected.len());
    assert_eq!(ids(&bob.fetch(SECOND).await.items), expected);
}

/// Takes what comes up to the close, `drain` among it; the close code.
async fn closes_after_drain(line: &mut Line) -> Option<u16> {
    let mut drained = false;
    loop {
        match timeout(PATIENCE, line.socket.receive()).await.unwrap() {
            Received::Text(text) => {
                drained |= matches!(Frame::parse(&text).unwrap(), Frame::Drain { .. });
            }
            Received::Ping | Received::Other => {}
            Received::Closed(code) => {
                assert!(drained, "closed without a word");
                return code;
            }
        }
    }
}
