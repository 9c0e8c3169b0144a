//! Gateways whose directory is in MongoDB, on the server that `MONGODB_URI` names.

use std::time::Duration;

use dev::{Stack, client::ApiError};
use mongodb::options::ConnectionString;
use schemas::{
    ErrorCode, MediaId,
    http::{Group, List},
};
use serde_json::{Value, json};
use store::{Directory as _, DirectoryOptions, KvDirectory};
use tokio::time::timeout;

use super::mongo::{self, relay, server};
use crate::{
    people::{FIRST, Line, PASSWORD, Person, SECOND, ids, text, with},
    support,
};

/// More than a call of the directory may take.
const WITHIN: Duration = Duration::from_secs(20);

/// Two gateways whose directory is there.
async fn stack(uri: &ConnectionString) -> Stack {
    let directory = DirectoryOptions { mongodb_uri: Some(uri.to_string()) };
    support::stack().directory(directory).gateways(2).limits(false).start().await.unwrap()
}

/// A group of theirs, whose making they have all been told.
async fn club(people: &[&Person]) -> Group {
    let members: Vec<_> = people.iter().map(|person| person.user()).collect();
    let new = json!({"name": "club", "members": members});
    let club = people[0].account.post("v1/groups", Some(&new)).await.unwrap();
    for person in people {
        assert_eq!(person.fetch(FIRST).await.items.len(), 1);
    }
    club
}

#[tokio::test]
async fn people_chat_and_are_known_after_a_restart() {
    let Some(uri) = server() else { return };
    let stack = stack(&uri).await;
    let [alice, bob] = Person::several_on(&stack).await;
    let club = club(&[&alice, &bob]).await;
    let desk = alice.link().await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    let mut d = desk.connect(SECOND).await;
    a.sends(text("m1", &bob, "hi")).await;
    a.sends(with(text("m2", &bob, "hi, all"), "chat", club.id)).await;
    for line in [&mut b, &mut d] {
        assert_eq!(ids(&line.gets_all(2).await), ["m1", "m2"]);
    }

    for gateway in stack.gateways() {
        gateway.restart().await.unwrap();
    }
    let alice = alice.log_in(Some(alice.device())).await;
    let groups: List<Group> = alice.account.get("v1/groups").await.unwrap();
    assert_eq!(groups.items, [club]);
    alice.connect(FIRST).await.sends(text("m3", &bob, "again")).await;
    assert_eq!(ids(&bob.fetch(SECOND).await.items), ["m1", "m2", "m3"]);

    // They are there, and nowhere else.
    let embedded = KvDirectory::open(&stack.bus().await.unwrap().jetstream).await.unwrap();
    assert_eq!(embedded.user_fresh(alice.user()).await.unwrap(), None);
    assert!(mongo::connect(&uri).await.user_fresh(alice.user()).await.unwrap().is_some());
}

#[tokio::test]
async fn while_it_is_away_calls_are_unavailable_and_delivery_goes_on() {
    let Some((relay, uri)) = relay().await else { return };
    let stack = stack(&uri).await;
    let [alice, bob] = Person::several_on(&stack).await;
    let club = club(&[&alice, &bob]).await;
    let (mut a, mut b) = (alice.connect(FIRST).await, bob.connect(SECOND).await);
    talk(&mut a, "before", &bob, &club, &mut b).await;
    talk(&mut b, "before", &alice, &club, &mut a).await;

    let picture = json!({
        "kind": "media", "media": MediaId::mint(), "name": "a", "mime": "image/png", "size": 1,
    });
    let with_media = with(text("m", &bob, ""), "body", picture);
    let new_media = json!({"name": "a", "mime": "image/png", "size": 1});
    relay.cut();
    let others = [bob.user()];
    let calls = async {
        tokio::join!(
            is_unavailable(alice.account.api.login(&alice.name, PASSWORD, None)),
            is_unavailable(alice.account.api.refresh(&alice.account.session.refresh_token)),
            is_unavailable(alice.account.profiles(&others)),
            is_unavailable(alice.account.find(&bob.name)),
            is_unavailable(alice.account.get::<List<Group>>("v1/groups")),
            is_unavailable(alice.account.block(bob.user())),
            is_unavailable(alice.account.post::<Value>("v1/messages", Some(&with_media))),
            is_unavailable(alice.account.post::<Value>("v1/media", Some(&new_media))),
        )
    };
    let talks = async {
        talk(&mut a, "meanwhile", &bob, &club, &mut b).await;
        talk(&mut b, "meanwhile", &alice, &club, &mut a).await;
    };
    let (calls, ()) = tokio::join!(timeout(WITHIN, calls), talks);
    assert_eq!(calls, Ok((true, true, true, true, true, true, true, true)));
    // Somebody who is remembered can come back, too.
    a.hangs_up().await;
    let mut a = alice.hello(FIRST).await;
    assert_eq!(a.catches_up().await.items.len(), 4);

    relay.mend();
    let desk = alice.link().await;
    assert_eq!(desk.account.find(&bob.name).await.unwrap().unwrap().id, bob.user());
    talk(&mut b, "after", &alice, &club, &mut a).await;
}

/// Somebody sends to somebody else and to a group of the two, who gets it.
async fn talk(from: &mut Line, id: &str, to: &Person, club: &Group, at: &mut Line) {
    from.sends(text(format!("{id}-1"), to, "hi")).await;
    assert_eq!(at.gets().await.id.as_str(), format!("{id}-1"));
    from.sends(with(text(format!("{id}-2"), to, "hi, all"), "chat", club.id)).await;
    assert_eq!(at.gets().await.id.as_str(), format!("{id}-2"));
}

async fn is_unavailable<T>(call: impl Future<Output = Result<T, ApiError>>) -> bool {
    call.await.is_err_and(|error| error.code() == Some(ErrorCode::Unavailable))
}
