//! Groups as PROTOCOL promises them, on a real stack of two gateways.

mod changes;
mod faults;
mod places;
mod races;
mod receipts;
mod refusals;
mod sends;
mod typing;

use dev::{Stack, client::ApiError};
use futures_util::{StreamExt as _, stream};
use nats::Inboxes;
use reqwest::Method;
use schemas::{
    Body, ChatId, ErrorCode, GroupId, UserId,
    body::{Event, Role},
    http::{Group, GroupMember, List},
    server::{Frame, Item, Sent},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::people::{FIRST, Line, PATIENCE, Person};

/// A group, as the tests talk about it.
#[derive(Debug, Clone, Copy)]
struct Club(GroupId);

impl Club {
    /// Made by its first member.
    async fn of(people: &[&Person]) -> Self {
        let members: Vec<UserId> = people.iter().map(|person| person.user()).collect();
        let group = create(people[0], "club", &members).await.unwrap();
        Self(group.id)
    }

    fn chat(self) -> ChatId {
        ChatId::Group(self.0)
    }

    fn path(self) -> String {
        format!("v1/groups/{}", self.0)
    }

    fn member_path(self, member: &Person) -> String {
        format!("v1/groups/{}/members/{}", self.0, member.user())
    }

    /// A `send` of this text.
    fn text(self, id: impl Serialize) -> Value {
        let body = json!({"kind": "text", "text": "hi, all"});
        json!({"type": "send", "id": id, "chat": self.0, "body": body})
    }

    async fn read(self, by: &Person, gateway: usize) -> Result<Group, ApiError> {
        call(by, gateway, Method::GET, &self.path(), None).await
    }

    async fn rename(self, by: &Person, gateway: usize, name: &str) -> Result<Group, ApiError> {
        call(by, gateway, Method::PATCH, &self.path(), Some(json!({"name": name}))).await
    }

    async fn add(self, by: &Person, gateway: usize, who: &Person) -> Result<Group, ApiError> {
        call(by, gateway, Method::PUT, &self.member_path(who), None).await
    }

    async fn promote(
        self,
        by: &Person,
        gateway: usize,
        who: &Person,
        role: Role,
    ) -> Result<Group, ApiError> {
        call(by, gateway, Method::PUT, &self.member_path(who), Some(json!({"role": role}))).await
    }

    async fn remove(self, by: &Person, gateway: usize, who: &Person) -> Result<(), ApiError> {
        call(by, gateway, Method::DELETE, &self.member_path(who), None).await
    }
}

async fn create(by: &Person, name: &str, members: &[UserId]) -> Result<Group, ApiError> {
    let new = json!({"name": name, "members": members});
    call(by, FIRST, Method::POST, "v1/groups", Some(new)).await
}

async fn groups_of(person: &Person, gateway: usize) -> Vec<Group> {
    let list: List<Group> = call(person, gateway, Method::GET, "v1/groups", None).await.unwrap();
    list.items
}

async fn call<T: DeserializeOwned>(
    by: &Person,
    gateway: usize,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<T, ApiError> {
    let account = by.at(gateway);
    account.api.call(method, path, Some(account.token()), body.as_ref()).await
}

fn code<T: std::fmt::Debug>(refused: Result<T, ApiError>) -> ErrorCode {
    let error = refused.unwrap_err();
    error.code().unwrap_or_else(|| panic!("{error}"))
}

/// So many new people on this stack.
async fn crowd(stack: &Stack, count: usize) -> Vec<Person> {
    stream::iter(0..count).map(|_| Person::on(stack)).buffered(16).collect().await
}

fn event(item: &Item) -> Option<Event> {
    match item.body.typed().unwrap() {
        Body::Event(event) => Some(event),
        _ => None,
    }
}

/// Who did what, as it was told in this club.
fn told(club: Club, items: &[Item]) -> Vec<(UserId, Event)> {
    assert!(items.iter().all(|item| item.chat == club.chat()));
    items.iter().filter_map(|item| Some((item.from, event(item)?))).collect()
}

fn members(group: &Group) -> Vec<(UserId, Role)> {
    group.members.iter().map(|GroupMember { user, role }| (*user, *role)).collect()
}

/// A line whose backlog is taken and acknowledged.
async fn line(person: &Person, gateway: usize) -> Line {
    person.fetch(gateway).await;
    let mut line = person.hello(gateway).await;
    line.catches_up().await;
    line
}

/// Sends, and does not care for messages and receipts before the answer.
async fn sends(line: &mut Line, message: Value) -> Sent {
    line.say(message).await;
    loop {
        match line.hears().await {
            Frame::Sent(sent) => return sent,
            Frame::Messages { items } => line.acks(items[items.len() - 1].seq).await,
            Frame::Receipts { .. } => {}
            other => panic!("{other:?} after {line}"),
        }
    }
}

/// Waits until what a device acknowledged is deleted.
async fn emptied(inboxes: &Inboxes, person: &Person) {
    let empty = async {
        let read = async || inboxes.read(person.user(), person.device(), 0, 1, 1).await.unwrap();
        while !read().await.messages.is_empty() {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, empty).await.unwrap();
}
