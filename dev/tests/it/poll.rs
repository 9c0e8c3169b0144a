//! Long polling: what the socket promises, over HTTP and through any gateway.

mod acks;
mod beside;
mod flood;
mod refusals;
mod waits;

use std::{collections::BTreeMap, time::Duration};

use async_nats::Subscriber;
use dev::{
    Stack,
    client::{Account, ApiError},
};
use futures_util::StreamExt as _;
use nats::subject;
use schemas::{
    Body, ChatId, ErrorCode, Micros,
    event::Notice,
    http::List,
    server::{Item, Sent},
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};

use crate::people::{FIRST, PATIENCE, Person, SECOND, ids, text, with};

/// Seconds that no test waits for to pass.
const LONG: u64 = 20;

async fn sends(by: &Account, message: Value) -> Result<Sent, ApiError> {
    by.post("v1/messages", Some(&message)).await
}

/// What the device has not acknowledged, or comes within so many seconds.
async fn polls(by: &Account, wait: u64) -> Result<Vec<Item>, ApiError> {
    polls_for(by, wait, 64).await
}

async fn polls_for(by: &Account, wait: u64, limit: usize) -> Result<Vec<Item>, ApiError> {
    let list = by.get::<List<Item>>(&format!("v1/inbox?wait={wait}&limit={limit}")).await?;
    assert!(list.items.is_sorted_by(|one, next| one.seq < next.seq));
    Ok(list.items)
}

async fn acks(by: &Account, seq: u64) -> Result<(), ApiError> {
    by.post("v1/inbox/ack", Some(&json!({"seq": seq}))).await
}

async fn reads(by: &Account, chat: ChatId, sender: &Person, ts: Micros) -> Result<(), ApiError> {
    let marks = BTreeMap::from([(sender.user(), ts)]);
    by.post("v1/read", Some(&json!({"chat": chat, "marks": marks}))).await
}

fn code<T: std::fmt::Debug>(refused: Result<T, ApiError>) -> ErrorCode {
    let error = refused.unwrap_err();
    error.code().unwrap_or_else(|| panic!("{error}"))
}

/// Hears which polls begin to wait.
struct Waiting(Subscriber);

impl Waiting {
    async fn of(stack: &Stack, person: &Person) -> Self {
        let bus = stack.bus().await.unwrap();
        let notices = bus.client.subscribe(subject::notice(person.user())).await.unwrap();
        bus.client.flush().await.unwrap();
        Self(notices)
    }

    /// A poll that has found nothing and waits.
    async fn poll(
        &mut self,
        person: &Person,
        gateway: usize,
    ) -> JoinHandle<Result<Vec<Item>, ApiError>> {
        let account = person.at(gateway);
        let poll = tokio::spawn(async move { polls(&account, LONG).await });
        self.one_more().await;
        poll
    }

    /// Returns when the next poll has found nothing and waits.
    async fn one_more(&mut self) {
        let heard = async {
            loop {
                let notice = self.0.next().await.unwrap();
                if let Notice::Polled { .. } = serde_json::from_slice(&notice.payload).unwrap() {
                    return;
                }
            }
        };
        timeout(PATIENCE, heard).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_is_sent_fetched_acknowledged_and_read_through_any_gateway() {
    let [alice, bob] = Person::several().await;
    let mut watching = alice.connect(FIRST).await;
    let desk = alice.link().await;
    let (alice_there, bob_here, bob_there) = (desk.at(SECOND), bob.at(FIRST), bob.at(SECOND));

    let sent = sends(&alice_there, text("m1", &bob, "hi")).await.unwrap();
    assert_eq!((sent.id.as_str(), sent.chat, &sent.full[..]), ("m1", bob.chat(), &[][..]));
    let own_copy = watching.gets().await;
    assert_eq!((own_copy.ts, own_copy.chat), (sent.ts, bob.chat()));

    let items = polls(&bob_here, LONG).await.unwrap();
    assert_eq!(ids(&items), ["m1"]);
    let Item { seq, chat, from, ts, ref body, .. } = items[0];
    assert_eq!((chat, from, ts), (alice.chat(), alice.user(), sent.ts));
    assert_eq!(body.typed().unwrap(), Body::Text { text: "hi".into() });
    // It comes until it is acknowledged, wherever that is asked.
    assert_eq!(polls(&bob_there, LONG).await.unwrap(), items);
    acks(&bob_there, seq).await.unwrap();
    for account in [&bob_here, &bob_there] {
        assert_eq!(polls(account, 0).await.unwrap(), []);
    }
    let receipt = watching.gets_receipt().await;
    assert_eq!((receipt.chat, receipt.user), (bob.chat(), bob.user()));
    assert_eq!((receipt.delivered, receipt.read), (sent.ts, Micros(0)));

    reads(&bob_here, alice.chat(), &alice, Micros(i64::MAX)).await.unwrap();
    let receipt = watching.gets_receipt().await;
    assert_eq!((receipt.delivered, receipt.read), (sent.ts, sent.ts), "clamped");
    watching.is_quiet().await;
}

#[tokio::test]
async fn a_retry_is_stored_once_and_answered_alike() {
    let [alice, bob] = Person::several().await;
    let at = Micros::now().minus(Duration::from_secs(60));
    let message = with(text("m1", &bob, "hi"), "at", at);
    let first = sends(&alice.at(FIRST), message.clone()).await.unwrap();
    assert_eq!(first.ts, at);
    let mut a = alice.connect(FIRST).await;
    assert_eq!(sends(&alice.at(SECOND), message.clone()).await.unwrap(), first);
    assert_eq!(a.sends(message).await, first.ts, "on a socket, too");
    let reply = with(text("m2", &bob, "hi"), "after", first.ts);
    let reply = with(reply, "at", first.ts);
    assert_eq!(sends(&alice.at(SECOND), reply).await.unwrap().ts, first.ts.next());
    assert_eq!(ids(&polls(&bob.at(FIRST), LONG).await.unwrap()), ["m1", "m2"]);
}

#[tokio::test]
async fn what_one_device_sends_to_a_chat_at_once_is_stored_one_after_the_other() {
    let [alice, bob] = Person::several().await;
    let desk = bob.link().await;
    let account = alice.at(FIRST);
    let all = (0..40).map(|n| sends(&account, text(format!("m{n}"), &bob, "hi")));
    let sent = futures_util::future::join_all(all).await;
    let mut places: Vec<_> = sent.into_iter().map(|sent| sent.unwrap().ts).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 40);
    for device in [&bob, &desk] {
        let items = polls(&device.at(SECOND), LONG).await.unwrap();
        let stored: Vec<_> = items.iter().map(|item| item.ts).collect();
        assert_eq!(stored, places, "the order of their turns, on every device");
    }
}

#[tokio::test]
async fn a_group_is_served_as_on_the_socket() {
    let [alice, bob, carol] = Person::several().await;
    let group: schemas::http::Group = alice
        .at(FIRST)
        .post("v1/groups", Some(&json!({"name": "club", "members": [bob.user(), carol.user()]})))
        .await
        .unwrap();
    let chat = ChatId::Group(group.id);
    let message = with(text("m1", &bob, "hi, all"), "chat", chat);
    let ts = sends(&alice.at(SECOND), message).await.unwrap().ts;
    let mut a = alice.hello(FIRST).await;
    a.catches_up().await;
    for member in [&bob, &carol] {
        let items = polls(&member.at(FIRST), LONG).await.unwrap();
        assert_eq!((items.len(), items[1].id.as_str(), items[1].ts), (2, "m1", ts));
        acks(&member.at(SECOND), items[1].seq).await.unwrap();
        let delivered = a.gets_receipt().await;
        assert_eq!((delivered.chat, delivered.user), (chat, member.user()));
        assert_eq!((delivered.delivered, delivered.read), (ts, Micros(0)));
        reads(&member.at(FIRST), chat, &alice, ts).await.unwrap();
        let read = a.gets_receipt().await;
        assert_eq!((read.user, read.delivered, read.read), (member.user(), ts, ts));
    }
    let stranger = Person::several::<1>().await;
    let message = with(text("m2", &bob, "hi, all"), "chat", chat);
    assert_eq!(code(sends(&stranger[0].at(FIRST), message).await), ErrorCode::NotMember);
}
