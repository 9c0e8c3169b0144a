//! One WebSocket whose owner does what no good client would.

use std::time::Duration;

use dev::client::{Account, Api, Buffers, Socket};
use schemas::{
    Body, ChatId, MessageId, Micros, RawBody, UserId,
    client::{self, Ack},
    server::{Frame, Item},
};
use ulid::Ulid;

use super::PATIENCE;

/// A line that has been welcomed.
pub(super) struct Line {
    pub(super) socket: Socket,
}

impl Line {
    /// Connects a device; all its receipts are asked for.
    pub(super) async fn hello(gateway: &Api, account: &Account) -> Self {
        let hello = Socket::hello(gateway.base(), account.token(), 0, Buffers::BUSY);
        let (socket, welcome) = hello.await.unwrap();
        assert_eq!((welcome.user, welcome.device), (account.user(), account.device()));
        Self { socket }
    }

    /// Says something, and waits until it is confirmed; its place.
    pub(super) async fn says(&mut self, to: UserId, text: &str) -> Micros {
        let id: MessageId = Ulid::generate().to_string().parse().unwrap();
        let body = RawBody::from(&Body::Text { text: text.to_owned() });
        let send =
            client::Send { id: id.clone(), chat: ChatId::User(to), body, at: None, after: None };
        self.socket.send(&client::Frame::Send(send)).await.unwrap();
        let sent = |frame| match frame {
            Frame::Sent(sent) if sent.id == id => Some(sent.ts),
            _ => None,
        };
        self.socket.until(PATIENCE, sent).await.unwrap()
    }

    /// All messages up to `caught_up`.
    pub(super) async fn catches_up(&mut self) -> Vec<Item> {
        let mut backlog = Vec::new();
        let caught_up = |frame| match frame {
            Frame::Messages { items } => {
                backlog.extend(items);
                None
            }
            Frame::CaughtUp {} => Some(()),
            _ => None,
        };
        self.socket.until(PATIENCE, caught_up).await.unwrap();
        backlog
    }

    /// Waits until this peer has received this user's messages up to here.
    pub(super) async fn is_told_delivered(&mut self, peer: UserId, ts: Micros) {
        let delivered = |frame| match frame {
            Frame::Receipts { items } => {
                items.iter().any(|item| item.user == peer && item.delivered >= ts).then_some(())
            }
            _ => None,
        };
        self.socket.until(PATIENCE, delivered).await.unwrap();
    }

    /// Acknowledges all up to here.
    pub(super) async fn acks(&mut self, seq: u64) {
        self.socket.send(&client::Frame::Ack(Ack { seq })).await.unwrap();
    }

    /// Reads until the server closes; the code.
    pub(super) async fn closed(&mut self, within: Duration) -> Option<u16> {
        self.socket.closed(within).await.unwrap()
    }

    /// Is gone, without a good-bye: the connection is reset.
    pub(super) fn vanishes(self) {
        self.socket.tcp().set_zero_linger().unwrap();
    }
}

/// What was said.
pub(super) fn text_of(item: &Item) -> String {
    match item.body.typed().unwrap() {
        Body::Text { text } => text,
        other => panic!("not a text: {other:?}"),
    }
}
