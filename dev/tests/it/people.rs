//! The vocabulary of the protocol's tests: people, their devices, and the lines
//! they talk on, frame by frame. What a line hears has exactly the fields of the
//! published types, or the test fails there.

use std::{collections::BTreeMap, time::Duration};

use dev::{
    Stack,
    client::{Account, Api, Buffers, Received, Socket},
};
use futures_util::future::join_all;
use schemas::{
    ChatId, CloseCode, DeviceId, ErrorCode, Micros, UserId,
    server::{Frame, Item, Presence, ReadSync, Receipt, Sent},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use ulid::Ulid;

use crate::support;

/// Longer than anything here may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Everybody's.
pub(crate) const PASSWORD: &str = "correct horse";
/// The first gateway of a stack.
pub(crate) const FIRST: usize = 0;
/// The second one.
pub(crate) const SECOND: usize = 1;

/// Somebody with an account, on one of their devices.
pub(crate) struct Person {
    /// The username.
    pub(crate) name: String,
    /// Signed in on this device; calls go to the first gateway.
    pub(crate) account: Account,
    gateways: Vec<Api>,
}

/// One WebSocket of somebody's.
pub(crate) struct Line {
    pub(crate) socket: Socket,
    /// What was said last, to explain a failure.
    said: String,
}

/// What came between `welcome` and `caught_up`.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub(crate) items: Vec<Item>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) reads: Vec<ReadSync>,
}

impl Person {
    /// So many new people on the shared stack.
    pub(crate) async fn several<const N: usize>() -> [Self; N] {
        Self::several_on(support::shared_stack().await).await
    }

    /// So many new people on this stack.
    pub(crate) async fn several_on<const N: usize>(stack: &Stack) -> [Self; N] {
        let people = join_all((0..N).map(|_| Self::on(stack))).await;
        people.try_into().unwrap_or_else(|_| unreachable!())
    }

    /// Somebody new on this stack.
    pub(crate) async fn on(stack: &Stack) -> Self {
        let gateways: Vec<_> =
            stack.gateways().iter().map(|gateway| Api::new(&gateway.url()).unwrap()).collect();
        let name = format!("p-{}", Ulid::generate());
        let account = gateways[FIRST].register(&name, PASSWORD).await.unwrap();
        Self { name, account, gateways }
    }

    /// The same person on one more device.
    pub(crate) async fn link(&self) -> Self {
        self.log_in(None).await
    }

    /// The same person after another login.
    pub(crate) async fn log_in(&self, device: Option<DeviceId>) -> Self {
        let account = self.account.api.login(&self.name, PASSWORD, device).await.unwrap();
        Self { name: self.name.clone(), account, gateways: self.gateways.clone() }
    }

    pub(crate) fn user(&self) -> UserId {
        self.account.user()
    }

    pub(crate) fn device(&self) -> DeviceId {
        self.account.device()
    }

    /// This person, as a chat of others.
    pub(crate) fn chat(&self) -> ChatId {
        ChatId::User(self.user())
    }

    /// The account, its calls going to this gateway.
    pub(crate) fn at(&self, gateway: usize) -> Account {
        Account { api: self.gateways[gateway].clone(), session: self.account.session.clone() }
    }

    /// A line for which nothing waits.
    pub(crate) async fn connect(&self, gateway: usize) -> Line {
        let mut line = self.hello(gateway).await;
        assert_eq!(line.hears().await, Frame::CaughtUp {});
        line
    }

    /// A line that has been welcomed; all receipts are asked for.
    pub(crate) async fn hello(&self, gateway: usize) -> Line {
        self.hello_after(gateway, 0).await
    }

    /// A line that has been welcomed; receipts are asked for from this `rev` on.
    pub(crate) async fn hello_after(&self, gateway: usize, receipts_after: u64) -> Line {
        let mut line = self.open(gateway).await;
        line.say_hello(self.account.token(), receipts_after).await;
        let welcome = line.hears().await;
        assert!(matches!(welcome, Frame::Welcome(_)), "{welcome:?}");
        line
    }

    /// A line on which nothing has been said.
    pub(crate) async fn open(&self, gateway: usize) -> Line {
        Line::open(&self.gateways[gateway]).await
    }

    /// Connects, takes and acknowledges all that waits; what that was.
    pub(crate) async fn fetch(&self, gateway: usize) -> Backlog {
        let mut line = self.hello(gateway).await;
        let backlog = line.takes_backlog(true).await;
        line.hangs_up().await;
        backlog
    }
}

impl Line {
    /// Connects without a hello.
    pub(crate) async fn open(gateway: &Api) -> Self {
        let socket = Socket::connect(gateway.base(), Buffers::BUSY).await.unwrap();
        Self { socket, said: "nothing".into() }
    }

    /// Says a frame.
    pub(crate) async fn say(&mut self, frame: Value) {
        self.say_text(frame.to_string()).await;
    }

    /// Says whatever it is.
    pub(crate) async fn say_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.said = text.chars().take(200).collect();
        self.socket.send_text(text).await.unwrap();
    }

    pub(crate) async fn say_hello(&mut self, token: &str, receipts_after: u64) {
        let hello = json!({"type": "hello", "token": token, "receipts_after": receipts_after});
        self.say(hello).await;
    }

    /// The next frame's text.
    pub(crate) async fn hears_text(&mut self) -> String {
        self.socket
            .text(PATIENCE)
            .await
            .unwrap_or_else(|error| panic!("{error} after {self}"))
            .to_string()
    }

    /// The next frame.
    pub(crate) async fn hears(&mut self) -> Frame {
        let text = self.hears_text().await;
        let frame = Frame::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&frame).unwrap(), told, "a field that is not published");
        frame
    }

    /// Asks whether the gateway is there. Its answer is the next thing heard, so
    /// all that was said before it had no other.
    pub(crate) async fn is_quiet(&mut self) {
        self.say(json!({"type": "ping"})).await;
        let next = self.hears().await;
        assert!(matches!(next, Frame::Pong { .. }), "{next:?}");
    }

    /// Sends a message and hears that it is stored; its `ts`.
    pub(crate) async fn sends(&mut self, message: Value) -> Micros {
        self.say(message.clone()).await;
        self.hears_sent(&message).await
    }

    /// Hears that this message is stored; its `ts`.
    pub(crate) async fn hears_sent(&mut self, message: &Value) -> Micros {
        let sent = match self.hears().await {
            Frame::Sent(sent) => sent,
            other => panic!("{other:?} after {self}"),
        };
        let Sent { id, chat, ts, full } = sent;
        assert_eq!((json!(id), json!(chat)), (message["id"].clone(), message["chat"].clone()));
        assert!(full.is_empty());
        ts
    }

    /// Sends a message that is refused; the code.
    pub(crate) async fn is_refused(&mut self, message: Value) -> ErrorCode {
        self.say(message.clone()).await;
        let (code, reference) = self.hears_error().await;
        assert_eq!(json!(reference), message["id"]);
        code
    }

    /// Hears an error: its `code` and `ref`.
    pub(crate) async fn hears_error(&mut self) -> (ErrorCode, Option<String>) {
        match self.hears().await {
            Frame::Error(error) => (error.code, error.reference),
            other => panic!("{other:?} after {self}"),
        }
    }

    /// Hears one message, alone in its frame.
    pub(crate) async fn gets(&mut self) -> Item {
        let mut items = self.gets_some().await;
        assert_eq!(items.len(), 1, "{items:?}");
        items.remove(0)
    }

    /// Hears so many messages, in however many frames.
    pub(crate) async fn gets_all(&mut self, count: usize) -> Vec<Item> {
        let mut items = Vec::new();
        while items.len() < count {
            items.extend(self.gets_some().await);
        }
        assert_eq!(items.len(), count);
        assert!(items.is_sorted_by_key(|item| item.seq));
        items
    }

    /// Hears one frame of messages.
    pub(crate) async fn gets_some(&mut self) -> Vec<Item> {
        match self.hears().await {
            Frame::Messages { items } => items,
            other => panic!("{other:?} after {self}"),
        }
    }

    /// Hears one receipt.
    pub(crate) async fn gets_receipt(&mut self) -> Receipt {
        match self.hears().await {
            Frame::Receipts { items } if items.len() == 1 => items[0],
            other => panic!("{other:?} after {self}"),
        }
    }

    /// Hears everything up to `caught_up`.
    pub(crate) async fn catches_up(&mut self) -> Backlog {
        self.takes_backlog(false).await
    }

    async fn takes_backlog(&mut self, acks: bool) -> Backlog {
        let mut backlog = Backlog::default();
        loop {
            match self.hears().await {
                Frame::Messages { items } => {
                    if acks {
                        self.acks(items[items.len() - 1].seq).await;
                    }
                    backlog.items.extend(items);
                }
                Frame::Receipts { items } => backlog.receipts.extend(items),
                Frame::Read { items } => backlog.reads.extend(items),
                Frame::CaughtUp {} => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(backlog.items.is_sorted_by(|one, next| one.seq < next.seq));
        backlog
    }

    /// Hears so many frames of receipts and of reading elsewhere.
    pub(crate) async fn hears_changes(&mut self, frames: usize) -> Backlog {
        let mut changes = Backlog::default();
        for _ in 0..frames {
            match self.hears().await {
                Frame::Receipts { items } => changes.receipts.extend(items),
                Frame::Read { items } => changes.reads.extend(items),
                other => panic!("{other:?} after {self}"),
            }
        }
        changes
    }

    pub(crate) async fn acks(&mut self, seq: u64) {
        self.say(json!({"type": "ack", "seq": seq})).await;
    }

    /// Says that this sender's messages in their chat are read up to there.
    pub(crate) async fn reads(&mut self, sender: &Person, ts: Micros) {
        let marks = BTreeMap::from([(sender.user(), ts)]);
        self.say(json!({"type": "read", "chat": sender.user(), "marks": marks})).await;
    }

    pub(crate) async fn types(&mut self, chat: impl Serialize, on: bool) {
        self.say(json!({"type": "typing", "chat": chat, "on": on})).await;
    }

    /// Follows the presence of these people and nobody else.
    pub(crate) async fn watches(&mut self, people: &[&Person]) {
        let users: Vec<_> = people.iter().map(|person| person.user()).collect();
        self.say(json!({"type": "watch", "users": users})).await;
    }

    /// Hears one frame of presence.
    pub(crate) async fn hears_presence(&mut self) -> Vec<Presence> {
        match self.hears().await {
            Frame::Presence { items } => items,
            other => panic!("{other:?} after {self}"),
        }
    }

    /// Hears nothing but the close, with this code.
    pub(crate) async fn is_closed(&mut self, code: CloseCode) {
        let end = async {
            loop {
                match self.socket.receive().await {
                    Received::Ping | Received::Other => {}
                    end => return end,
                }
            }
        };
        let end = timeout(PATIENCE, end).await;
        assert_eq!(end, Ok(Received::Closed(Some(code.code()))), "after {}", self.said);
    }

    /// Closes politely.
    pub(crate) async fn hangs_up(mut self) {
        self.socket.close().await.unwrap();
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.said)
    }
}

/// A `send` of this text.
pub(crate) fn text(id: impl Serialize, to: &Person, text: &str) -> Value {
    json!({
        "type": "send", "id": id, "chat": to.user(), "body": {"kind": "text", "text": text},
    })
}

/// The same frame with one field more.
pub(crate) fn with(mut frame: Value, field: &str, value: impl Serialize) -> Value {
    frame[field] = json!(value);
    frame
}

/// The ids of messages.
pub(crate) fn ids(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.id.as_str()).collect()
}
