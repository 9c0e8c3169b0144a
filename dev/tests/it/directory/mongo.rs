//! The directory in MongoDB, on the server that `MONGODB_URI` names.

use std::{
    io::Write as _,
    slice,
    sync::{Arc, Once},
    time::Duration,
};

use mongodb::{
    Client, IndexModel,
    bson::{Document, doc},
    options::{ConnectionString, HostInfo},
};
use schemas::{GroupId, UserId, body::Event};
use store::{
    DirectoryError, GroupChange, GroupError, MongoDirectory, NewDevice, OpenError,
    contract::{Tested, groups, registration},
};
use tokio::time::{Instant, timeout};

use super::{registered, registration as form, relay::Relay};

/// The tests' own, whichever the variable names.
const DATABASE: &str = "petrel_tests";
/// More than a call may take.
const WITHIN: Duration = Duration::from_secs(20);

/// Each promise of the contract.
mod contract {
    use super::directory;

    store::directory_contract!(directory);
}

/// The server's connection string with the tests' database. Where there is no
/// server, it says so past the test harness, which shows nothing of tests that pass.
pub(super) fn server() -> Option<ConnectionString> {
    static TOLD: Once = Once::new();
    let Some(uri) = std::env::var("MONGODB_URI").ok().filter(|uri| !uri.is_empty()) else {
        TOLD.call_once(|| {
            let _ = writeln!(std::io::stderr(), "MongoDB: NOT TESTED, as MONGODB_URI is not set");
        });
        return None;
    };
    let mut uri = ConnectionString::parse(uri).unwrap();
    uri.default_database = Some(DATABASE.to_owned());
    Some(uri)
}

async fn directory() -> Option<Tested> {
    Some(connect(&server()?).await)
}

pub(super) async fn connect(uri: &ConnectionString) -> Tested {
    Arc::new(MongoDirectory::connect(&uri.to_string()).await.unwrap())
}

/// A relay to the server, and a connection string that knows no other way to it.
pub(super) async fn relay() -> Option<(Relay, ConnectionString)> {
    let mut uri = server()?;
    let HostInfo::HostIdentifiers(hosts) = &uri.host_info else {
        panic!("a relay needs a host in MONGODB_URI, not a name to look up");
    };
    let relay = Relay::to(hosts[0].to_string()).await;
    uri.host_info = HostInfo::HostIdentifiers(vec![relay.addr.to_string().parse().unwrap()]);
    uri.direct_connection = Some(true);
    uri.replica_set = None;
    Some((relay, uri))
}

async fn through_a_relay() -> Option<(Relay, Tested)> {
    let (relay, uri) = relay().await?;
    Some((relay, connect(&uri).await))
}

#[tokio::test]
async fn what_was_stored_without_an_answer_is_stored_once() {
    let Some((relay, directory)) = through_a_relay().await else { return };
    let losing = |command| {
        assert!(!relay.is_losing(), "no answer was lost");
        relay.lose_answer_to(command);
    };
    losing("insert");
    let user = registered(&directory).await;
    assert_eq!(directory.user_fresh(user.id).await.unwrap(), Some(user.clone()));
    losing("insert");
    let taken = directory.create_user(form(user.username.as_str())).await;
    assert!(matches!(taken, Err(DirectoryError::Conflict(_))), "{taken:?}");
    losing("update");
    let device = directory.link_device(user.id, NewDevice::default()).await.unwrap();
    let devices = directory.user_fresh(user.id).await.unwrap().unwrap().devices;
    assert_eq!(devices, [user.devices[0].clone(), device.clone()]);
    losing("update");
    assert!(directory.unlink_device(user.id, device.id).await.unwrap());

    let (admin, member) = (UserId::mint(), UserId::mint());
    losing("insert");
    let group = directory.create_group(admin, "Engines".into(), &[]).await.unwrap();
    assert_eq!(directory.groups_of(admin).await.unwrap(), slice::from_ref(&group));
    losing("update");
    let added = directory.add_member(group.id, admin, member, None).await.unwrap();
    assert_eq!(added.events, [Event::MemberAdded { user: member }]);
    losing("update");
    let left = directory.remove_member(group.id, member, member).await.unwrap();
    assert_eq!(left.events, [Event::MemberLeft { user: member }]);
    assert_eq!(directory.group_fresh(group.id).await.unwrap(), Some(left.group));
    losing("delete");
    let left = directory.remove_member(group.id, admin, admin).await.unwrap();
    assert_eq!(left.events, [Event::MemberLeft { user: admin }]);
    assert_eq!(directory.group_fresh(group.id).await.unwrap(), None);
    assert!(!relay.is_losing(), "no answer was lost");
}

#[tokio::test]
async fn a_call_lives_through_a_short_absence() {
    let Some((relay, directory)) = through_a_relay().await else { return };
    let user = registered(&directory).await;
    relay.cut();
    let back = async {
        relay.refused().await;
        relay.mend();
    };
    let (linked, ()) = tokio::join!(directory.link_device(user.id, NewDevice::default()), back);
    let stored = directory.user_fresh(user.id).await.unwrap().unwrap();
    assert_eq!(stored.devices.last(), Some(&linked.unwrap()));
}

#[tokio::test]
async fn while_it_is_away_every_call_is_unavailable_and_then_no_more() {
    let Some((relay, directory)) = through_a_relay().await else { return };
    let user = registered(&directory).await;
    relay.cut();
    let (ids, leave) = ([user.id], GroupChange::Remove { user: user.id });
    let leaves = async {
        let left = directory.change_group(GroupId::mint(), user.id, &leave).await;
        matches!(left, Err(GroupError::Directory(DirectoryError::Unavailable(_))))
    };
    let calls = async {
        tokio::join!(
            is_unavailable(directory.user(user.id)),
            is_unavailable(directory.users(&ids)),
            is_unavailable(directory.user_by_username(&user.username)),
            is_unavailable(directory.link_device(user.id, NewDevice::default())),
            is_unavailable(directory.create_user(form("nobody"))),
            is_unavailable(directory.groups_of(user.id)),
            leaves,
        )
    };
    let unavailable = timeout(WITHIN, calls).await.unwrap();
    assert_eq!(unavailable, (true, true, true, true, true, true, true));

    relay.mend();
    registration::a_registered_user_is_found(Arc::clone(&directory)).await;
    groups::members_come_and_go(directory).await;
}

async fn is_unavailable<T>(call: impl Future<Output = Result<T, DirectoryError>>) -> bool {
    matches!(call.await, Err(DirectoryError::Unavailable(_)))
}

#[tokio::test]
async fn fields_of_a_newer_version_are_kept_in_the_database_too() {
    let Some(uri) = server() else { return };
    let (directory, client) = (connect(&uri).await, Client::with_uri_str(uri.to_string()).await);
    let users = client.unwrap().database(DATABASE).collection::<Document>("users");
    let user = registered(&directory).await;
    let one = doc! { "_id": user.id.to_string() };
    let newer = doc! { "badge": "gold", "devices.0.push": { "kind": "fcm", "token": "t" } };
    users.update_one(one.clone(), doc! { "$set": newer }).await.unwrap();

    directory.renew_family(user.id, user.devices[0].id).await.unwrap();
    directory.block(user.id, UserId::mint()).await.unwrap();
    let stored = users.find_one(one.clone()).await.unwrap().unwrap();
    assert_eq!(stored.get_str("badge").unwrap(), "gold");
    let device = stored.get_array("devices").unwrap()[0].as_document().unwrap();
    assert_eq!(device.get_document("push").unwrap(), &doc! { "kind": "fcm", "token": "t" });

    users.update_one(one, doc! { "$set": { "devices": "none" } }).await.unwrap();
    let read = directory.user(user.id).await;
    let Err(DirectoryError::Unreadable { key, .. }) = read else { panic!("{read:?}") };
    assert_eq!(key, format!("users.{}", user.id));
}

#[tokio::test]
async fn an_index_that_lets_names_repeat_is_refused() {
    let Some(mut uri) = server() else { return };
    let database = format!("{DATABASE}_{}", GroupId::mint());
    uri.default_database = Some(database.clone());
    let client = Client::with_uri_str(uri.to_string()).await.unwrap();
    let users = client.database(&database).collection::<Document>("users");
    let index = IndexModel::builder().keys(doc! { "username_folded": 1 }).build();
    users.create_index(index).await.unwrap();

    let start = Instant::now();
    let opened = MongoDirectory::connect(&uri.to_string()).await.map(drop);
    assert!(opened.is_err(), "opened");
    assert!(start.elapsed() < WITHIN, "{opened:?}");
    client.database(&database).drop().await.unwrap();
}

#[tokio::test]
async fn a_connection_string_that_is_none_is_told_at_once() {
    for uri in ["postgres://a", "mongodb://a:x", "mongodb://"] {
        let opened = MongoDirectory::connect(uri).await.map(drop);
        assert!(matches!(opened, Err(OpenError::Uri(_))), "{opened:?}");
    }
}
