//! The embedded directory, on one nats-server and on three; the one in MongoDB;
//! and gateways that use that one.

mod gateways;
mod mongo;
mod relay;

use std::{slice, sync::Arc, time::Duration};

use async_nats::jetstream::{
    self,
    kv::{self, Operation},
};
use dev::NatsCluster;
use futures_util::{StreamExt as _, TryStreamExt as _};
use nats::{
    Bus, NatsOptions, Topology,
    subject::{DIRECTORY_BUCKET, bucket_stream, bucket_subject},
};
use schemas::{GroupId, Micros, UserId};
use store::{
    DirectoryError, KvDirectory, NewDevice, NewUser, PasswordHash, RefreshClaim, Rotation, User,
    contract::{Tested, devices, group_races, groups, registration, tokens, users},
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::support;

/// Each promise of the contract, on the server that all tests share.
mod contract {
    use super::{Tested, bus, directory, support};

    async fn embedded() -> Tested {
        directory(&bus(&[support::shared_nats().await.url()], 1).await).await
    }

    store::directory_contract!(embedded);
}

/// A connection to a server that has the directory's bucket.
async fn bus(urls: &[String], replicas: usize) -> Bus {
    let options = NatsOptions { nats: urls.to_vec(), ..NatsOptions::default() };
    let bus = Bus::connect(&options, "directory tests").await.unwrap();
    let declared = Topology { replicas, ..Topology::default() };
    if replicas > 1 {
        // Which outlasts that one of the nodes has only just come.
        nats::reconcile::apply(&bus, &declared).await.unwrap();
    } else {
        let name = bucket_stream(DIRECTORY_BUCKET);
        let bucket = declared.streams().into_iter().find(|stream| stream.name == name).unwrap();
        bus.jetstream.get_or_create_stream(bucket).await.unwrap();
    }
    bus
}

async fn directory(bus: &Bus) -> Tested {
    Arc::new(KvDirectory::open(&bus.jetstream).await.unwrap())
}

async fn bucket(bus: &Bus) -> kv::Store {
    bus.jetstream.get_key_value(DIRECTORY_BUCKET).await.unwrap()
}

fn registration(username: &str) -> NewUser {
    NewUser {
        username: username.parse().unwrap(),
        name: "Ada Lovelace".into(),
        phone: None,
        password_hash: PasswordHash::new("$argon2id$secret"),
        device: NewDevice::default(),
    }
}

async fn registered(directory: &Tested) -> User {
    directory.create_user(registration(&UserId::mint().to_string())).await.unwrap()
}

#[tokio::test]
async fn a_bucket_that_nobody_made_is_told_when_it_is_opened() {
    let cluster = NatsCluster::builder().start().await.unwrap();
    let options = NatsOptions { nats: cluster.urls(), ..NatsOptions::default() };
    let bus = Bus::connect(&options, "directory tests").await.unwrap();
    let opened = KvDirectory::open(&bus.jetstream).await;
    assert!(matches!(opened, Err(DirectoryError::Unavailable(_))));
}

#[tokio::test]
async fn who_loses_the_race_for_a_name_leaves_nothing_behind() {
    let cluster = NatsCluster::builder().start().await.unwrap();
    let bus = bus(&cluster.urls(), 1).await;
    let directory = directory(&bus).await;
    let mut racers = JoinSet::new();
    for _ in 0..16 {
        let directory = Arc::clone(&directory);
        racers.spawn(async move { directory.create_user(registration("Ada")).await });
    }
    let winners: Vec<User> = racers.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);

    let bucket = bucket(&bus).await;
    let keys: Vec<String> = bucket.keys().await.unwrap().try_collect().await.unwrap();
    let user = format!("user.{}", winners[0].id);
    let mut users = keys.iter().filter(|key| key.starts_with("user."));
    assert_eq!((users.next(), users.next()), (Some(&user), None), "{keys:?}");
}

#[tokio::test]
async fn a_user_whose_registration_died_half_way_is_in_nobodys_way() {
    let bus = bus(&[support::shared_nats().await.url()], 1).await;
    let (directory, bucket) = (directory(&bus).await, bucket(&bus).await);
    // What is there before the name is claimed: the user's document alone.
    let dead = registered(&directory).await;
    let value = bucket.get(format!("user.{}", dead.id)).await.unwrap().unwrap();
    let half = UserId::mint();
    let name = format!("half.{half}");
    let value = String::from_utf8(value.to_vec()).unwrap();
    let value = value.replace(&dead.id.to_string(), &half.to_string());
    let value = value.replace(dead.username.as_str(), &name);
    bucket.create(format!("user.{half}"), value.into()).await.unwrap();

    assert_eq!(directory.user_by_username(&name.parse().unwrap()).await.unwrap(), None);
    let user = directory.create_user(registration(&name)).await.unwrap();
    assert_ne!(user.id, half);
    assert_eq!(directory.user_by_username(&name.parse().unwrap()).await.unwrap(), Some(user));
}

#[tokio::test]
async fn a_mark_without_a_member_leads_nowhere() {
    let bus = bus(&[support::shared_nats().await.url()], 1).await;
    let (directory, bucket) = (directory(&bus).await, bucket(&bus).await);
    let [admin, gone, stranger] = [0; 3].map(|_| UserId::mint());
    let group = directory.create_group(admin, "Engines".into(), &[gone]).await.unwrap();
    let is_marked = async |user| {
        let mark = format!("member.{user}.{}", group.id);
        bucket.entry(&mark).await.unwrap().is_some()
    };
    assert!(is_marked(gone).await);
    directory.remove_member(group.id, gone, gone).await.unwrap();
    assert!(!is_marked(gone).await);

    // What a death leaves that comes before the group was stored, or after it.
    for half in [group.id, GroupId::mint()] {
        bucket.put(format!("member.{stranger}.{half}"), "".into()).await.unwrap();
    }
    assert_eq!(directory.groups_of(stranger).await.unwrap(), []);
    directory.add_member(group.id, admin, stranger, None).await.unwrap();
    assert_eq!(directory.groups_of(stranger).await.unwrap().len(), 1);
    directory.remove_member(group.id, admin, stranger).await.unwrap();
    assert!(!is_marked(stranger).await);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_named() {
    let bus = bus(&[support::shared_nats().await.url()], 1).await;
    let (directory, bucket) = (directory(&bus).await, bucket(&bus).await);
    let id = UserId::mint();
    bucket.put(format!("user.{id}"), "{}".into()).await.unwrap();
    let read = directory.user(id).await;
    let Err(DirectoryError::Unreadable { key, .. }) = read else { panic!("{read:?}") };
    assert_eq!(key, format!("user.{id}"));
    let changed = directory.unlink_device(id, schemas::DeviceId::mint()).await;
    assert!(matches!(changed, Err(DirectoryError::Unreadable { .. })), "{changed:?}");
}

#[tokio::test]
async fn a_user_an_operator_deleted_is_not_there() {
    let bus = bus(&[support::shared_nats().await.url()], 1).await;
    let (directory, bucket) = (directory(&bus).await, bucket(&bus).await);
    let user = registered(&directory).await;
    let key = format!("user.{}", user.id);
    bucket.delete(&key).await.unwrap();
    assert_eq!(bucket.entry(&key).await.unwrap().unwrap().operation, Operation::Delete);

    assert_eq!(directory.user(user.id).await.unwrap(), None);
    assert_eq!(directory.user_by_username(&user.username).await.unwrap(), None);
    let linked = directory.link_device(user.id, NewDevice::default()).await;
    assert!(matches!(linked, Err(DirectoryError::NotFound(_))), "{linked:?}");
}

#[tokio::test]
async fn a_copy_that_lags_hides_nobody() {
    let bus = bus(&[support::shared_nats().await.url()], 1).await;
    let directory = KvDirectory::open(&through_a_lagging_copy(&bus).await).await.unwrap();
    let directory: Tested = Arc::new(directory);
    registration::a_registered_user_is_found(Arc::clone(&directory)).await;
    registration::a_taken_name_is_refused_in_any_case(Arc::clone(&directory)).await;
    users::many_are_read_in_order_and_once(Arc::clone(&directory)).await;
    groups::a_group_that_was_made_is_found(Arc::clone(&directory)).await;
    groups::members_come_and_go(directory).await;
}

/// JetStream as a client sees it whose direct reads are all answered by a copy
/// that has got nothing yet.
async fn through_a_lagging_copy(bus: &Bus) -> jetstream::Context {
    let prefix = format!("lagging-{}", UserId::mint());
    let stream = bucket_stream(DIRECTORY_BUCKET);
    let missing = bucket_subject(DIRECTORY_BUCKET, "missing");
    let client = bus.client.clone();
    let mut requests = client.subscribe(format!("{prefix}.>")).await.unwrap();
    client.flush().await.unwrap();
    let context = jetstream::with_prefix(client.clone(), &prefix);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let mut api = request.subject[prefix.len() + 1..].to_owned();
            if api.starts_with("DIRECT.GET.") {
                api = format!("DIRECT.GET.{stream}.{missing}");
            }
            let (reply, payload) = (request.reply.unwrap(), request.payload);
            client.publish_with_reply(format!("$JS.API.{api}"), reply, payload).await.unwrap();
        }
    });
    context
}

#[tokio::test]
async fn a_call_lives_through_a_restart() {
    let cluster = NatsCluster::builder().start().await.unwrap();
    let bus = bus(&cluster.urls(), 1).await;
    let directory = directory(&bus).await;
    let user = registered(&directory).await;

    cluster.nodes()[0].kill9().await;
    let (linked, restarted) = tokio::join!(
        directory.link_device(user.id, NewDevice::default()),
        cluster.nodes()[0].restart(),
    );
    restarted.unwrap();
    let device = linked.unwrap();
    let user = directory.user_fresh(user.id).await.unwrap().unwrap();
    assert_eq!(user.devices.last(), Some(&device));
}

/// Three copies: replicas lag, writes of one document wait for each other in
/// flight, and the leader dies. One cluster for all of it, as it costs seconds.
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_answer_as_one() {
    let cluster = NatsCluster::builder().nodes(3).start().await.unwrap();
    let bus = bus(&cluster.urls(), 3).await;
    let directory = directory(&bus).await;

    let mut nodes = Vec::new();
    for url in cluster.urls() {
        nodes.push(self::directory(&self::bus(&[url], 3).await).await);
    }
    what_was_answered_is_found_everywhere(&nodes).await;
    registration::a_name_has_one_winner(Arc::clone(&directory)).await;
    devices::the_last_places_have_no_more_winners_than_there_are(Arc::clone(&directory)).await;
    tokens::presented_at_once_it_is_issued_for_each(Arc::clone(&directory)).await;
    tokens::a_reuse_revokes_once(Arc::clone(&directory)).await;
    users::changes_at_once_are_all_kept(Arc::clone(&directory)).await;
    group_races::the_last_place_in_a_group_has_one_winner(Arc::clone(&directory)).await;
    group_races::who_is_in_a_group_finds_it_whatever_raced(Arc::clone(&directory)).await;
    group_races::who_is_in_a_group_finds_it_whoever_overtook(Arc::clone(&directory)).await;
    group_races::an_interrupted_change_is_made_or_undone(Arc::clone(&directory)).await;
    rotation_goes_on_when_the_leader_dies(&cluster, &bus, &directory).await;
}

/// What one node answered, every other node knows, although its copy may lag.
/// Many at once keep the copies busy, so that some do.
async fn what_was_answered_is_found_everywhere(nodes: &[Tested]) {
    const AT_ONCE: usize = 30;
    const EACH: usize = 20;
    let mut clients = JoinSet::new();
    for number in 0..AT_ONCE {
        let mut nodes = nodes.to_vec();
        let first = number % nodes.len();
        nodes.rotate_left(first);
        clients.spawn(async move {
            for _ in 0..EACH {
                let user = registered(&nodes[0]).await;
                for node in &nodes {
                    let found = node.user_by_username(&user.username).await.unwrap();
                    assert_eq!(found.as_ref(), Some(&user));
                }
                let device = nodes[0].link_device(user.id, NewDevice::default()).await.unwrap();
                nodes[0].block(user.id, user.id).await.unwrap();
                for node in &nodes {
                    let fresh = node.user_fresh(user.id).await.unwrap().unwrap();
                    assert!(fresh.device(device.id).is_some());
                    assert_eq!(fresh.blocked, [user.id]);
                }
                let group = nodes[0].create_group(user.id, "Engines".into(), &[]).await.unwrap();
                for node in &nodes {
                    assert_eq!(node.groups_of(user.id).await.unwrap(), slice::from_ref(&group));
                }
            }
        });
    }
    clients.join_all().await;
}

/// A client that rotates its token on and on, while the node that leads the
/// bucket is killed: it gets on, and what it was answered stays.
async fn rotation_goes_on_when_the_leader_dies(
    cluster: &NatsCluster,
    bus: &Bus,
    directory: &Tested,
) {
    const BEFORE: usize = 20;
    const AFTER: usize = 50;
    const WITHIN: Duration = Duration::from_secs(90);
    let user = registered(directory).await;
    let (progress, mut rotated) = mpsc::channel(1);
    let client = tokio::spawn({
        let (directory, user) = (Arc::clone(directory), user.clone());
        async move { rotate_on_and_on(&directory, &user, &progress).await }
    });

    for _ in 0..BEFORE {
        timeout(WITHIN, rotated.recv()).await.unwrap().unwrap();
    }
    let stream = bus.jetstream.get_stream(bucket_stream(DIRECTORY_BUCKET)).await.unwrap();
    let leader = stream.cached_info().cluster.clone().unwrap().leader.unwrap();
    let leader = cluster.nodes().iter().find(|node| node.name() == leader).unwrap();
    leader.kill9().await;
    for _ in 0..AFTER {
        timeout(WITHIN, rotated.recv()).await.unwrap().unwrap();
    }
    drop(rotated);

    let newest = client.await.unwrap();
    let stored = directory.user_fresh(user.id).await.unwrap().unwrap();
    assert_eq!(stored.devices[0].tokens.newest(), newest);
    leader.restart().await.unwrap();
}

/// Rotates until nobody listens any more; answers the last claim.
async fn rotate_on_and_on(
    directory: &Tested,
    user: &User,
    progress: &mpsc::Sender<()>,
) -> RefreshClaim {
    let device = &user.devices[0];
    let mut claim = device.tokens.newest();
    while progress.send(()).await.is_ok() {
        match directory.rotate_token(user.id, device.id, claim, Micros::now()).await {
            Ok(Rotation::Issued(next)) => {
                assert!(next.number > claim.number);
                claim = next;
            }
            Err(DirectoryError::Unavailable(_)) => {}
            other => panic!("{claim:?} was {other:?}"),
        }
    }
    claim
}
