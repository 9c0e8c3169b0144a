//! The declared topology against live servers.

use std::{
    collections::HashMap, path::Path, process::Command, sync::atomic::Ordering, time::Duration,
};

use async_nats::jetstream::{
    self,
    stream::{self, Compression, StorageType},
};
use dev::{Binary, NatsCluster, NatsServer, Program, SyncMode};
use futures_util::TryStreamExt as _;
use nats::{
    Bus, Inboxes, NatsOptions, Topology,
    bus::NotReady,
    place::{self, Move},
    reconcile::{self, DifferenceKind, ReconcileError},
    subject::{self, Shards},
};
use schemas::{DeviceId, UserId};
use tokio::time::timeout;

use crate::support::{until, until_some};

const PATIENCE: Duration = Duration::from_secs(60);

fn shards(count: u32) -> Topology {
    Topology { shards: Shards::new(count).unwrap(), ..Topology::default() }
}

async fn connect(urls: Vec<String>, declared: &Topology) -> Bus {
    let options = NatsOptions { nats: urls, shards: declared.shards.count() };
    Bus::connect(&options, "test").await.unwrap()
}

async fn server(declared: &Topology) -> (NatsServer, Bus) {
    let server = NatsServer::start(SyncMode::Default).await.unwrap();
    let bus = connect(vec![server.url()], declared).await;
    (server, bus)
}

async fn config(bus: &Bus, stream: &str) -> stream::Config {
    bus.jetstream.get_stream(stream).await.unwrap().cached_info().config.clone()
}

#[tokio::test]
async fn applying_makes_everything_once() {
    let declared = shards(8);
    let (_server, bus) = server(&declared).await;

    let missing = reconcile::diff(&bus, &declared).await.unwrap();
    assert_eq!(missing.len(), declared.streams().len() + declared.consumers().len());
    assert!(missing.iter().all(|difference| difference.kind == DifferenceKind::Missing));

    assert_eq!(reconcile::apply(&bus, &declared).await.unwrap(), missing);
    assert_eq!(reconcile::diff(&bus, &declared).await.unwrap(), []);
    assert_eq!(reconcile::apply(&bus, &declared).await.unwrap(), []);
    bus.ready().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_apply_is_taken_up_again() {
    let declared = shards(8);
    let (_server, bus) = server(&declared).await;
    for stream in declared.streams().into_iter().take(3) {
        bus.jetstream.create_stream(stream).await.unwrap();
    }
    let applied = reconcile::apply(&bus, &declared).await.unwrap();
    assert_eq!(applied.len(), declared.streams().len() - 3 + declared.consumers().len());
    assert_eq!(reconcile::diff(&bus, &declared).await.unwrap(), []);
}

#[tokio::test]
async fn a_change_in_place_keeps_messages_and_what_is_the_operators() {
    let declared = shards(1);
    let (_server, bus) = server(&declared).await;
    reconcile::apply(&bus, &declared).await.unwrap();
    let inboxes = Inboxes::new(bus.clone());
    let (user, device) = (UserId::mint(), DeviceId::mint());
    inboxes.store(user, device, "a.1", "{}".into()).await.unwrap();
    let mut tuned = config(&bus, "INBOX_0").await;
    tuned.compression = Some(Compression::S2);
    tuned.description = Some("of the chat team".to_owned());
    tuned.metadata.insert("team".to_owned(), "chat".to_owned());
    bus.jetstream.update_stream(tuned).await.unwrap();
    assert_eq!(reconcile::diff(&bus, &declared).await.unwrap(), []);

    let smaller = Topology {
        inbox_max_messages: 5,
        message_age: Duration::from_secs(24 * 60 * 60),
        ..declared
    };
    let changes = reconcile::diff(&bus, &smaller).await.unwrap();
    let shown: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["stream INBOX_0: max_msgs_per_subject 100000 -> 5\nstream INBOX_0: max_age 30d -> 1d"]
    );
    assert_eq!(reconcile::apply(&bus, &smaller).await.unwrap(), changes);

    assert_eq!(reconcile::diff(&bus, &smaller).await.unwrap(), []);
    let now = config(&bus, "INBOX_0").await;
    assert_eq!(now.max_messages_per_subject, 5);
    assert_eq!(now.compression, Some(Compression::S2));
    assert_eq!(now.description.as_deref(), Some("of the chat team"));
    assert_eq!(now.metadata["team"], "chat");
    let page = inboxes.read(user, device, 0, 64, 1 << 20).await.unwrap();
    assert_eq!(page.messages.len(), 1);
}

#[tokio::test]
async fn another_number_of_shards_is_refused_and_nothing_touched() {
    let declared = shards(4);
    let (_server, bus) = server(&declared).await;
    reconcile::apply(&bus, &declared).await.unwrap();
    let names = async || {
        let mut names: Vec<String> = bus.jetstream.stream_names().try_collect().await.unwrap();
        names.sort();
        names
    };
    let before = names().await;

    for other in [1, 3, 5, 8] {
        let other = Topology { inbox_max_messages: 5, ..shards(other) };
        let refused = reconcile::apply(&bus, &other).await;
        let Err(ReconcileError::Impossible(why)) = refused else { panic!("{refused:?}") };
        assert!(why[0].to_string().contains("petrel.shards 4 ->"), "{}", why[0]);
        assert_eq!(names().await, before);
        assert_eq!(config(&bus, "INBOX_0").await.max_messages_per_subject, 100_000);
    }
    let beyond = reconcile::diff(&bus, &shards(3)).await.unwrap();
    assert_eq!(beyond.last().unwrap().kind, DifferenceKind::BeyondShards(3));

    // A gateway started with the wrong number says so at once.
    let mistaken = connect(bus.options.nats.clone(), &shards(3)).await;
    let refused = timeout(Duration::from_secs(5), mistaken.ready()).await.unwrap();
    assert!(matches!(refused, Err(NotReady::Shards { declared: 3, .. })), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_changed_is_left_to_a_person() {
    let declared = shards(1);
    let (_server, bus) = server(&declared).await;
    let mut receipts = declared
        .streams()
        .into_iter()
        .find(|stream| stream.name == subject::RECEIPTS_STREAM)
        .unwrap();
    receipts.storage = StorageType::File;
    bus.jetstream.create_stream(receipts).await.unwrap();
    bus.jetstream.publish(subject::RECEIPTS, "kept".into()).await.unwrap().await.unwrap();

    let refused = reconcile::apply(&bus, &declared).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("stream RECEIPTS: storage file -> memory, which cannot be changed in place"),
        "{refused}"
    );
    // Not even the streams that could have been made.
    assert!(bus.jetstream.get_stream("INBOX_0").await.is_err());
    let mut stream = bus.jetstream.get_stream(subject::RECEIPTS_STREAM).await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
}

#[tokio::test]
async fn whoever_is_early_waits_for_the_streams() {
    let declared = shards(2);
    let (_server, bus) = server(&declared).await;
    let early = tokio::spawn({
        let bus = bus.clone();
        async move { bus.ready().await }
    });
    // It has asked, and asked again: it was told that something is missing.
    let asked = || bus.client.statistics().out_messages.load(Ordering::Relaxed);
    let before = asked();
    let asks_again = async {
        while asked() < before + 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asks_again).await.unwrap();
    assert!(!early.is_finished());
    reconcile::apply(&bus, &declared).await.unwrap();
    timeout(PATIENCE, early).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_shard_of_a_user_is_the_servers_partition() {
    let (_server, bus) = server(&shards(1)).await;
    for count in [1, 2, 8, 13, 64, 256] {
        let shards = Shards::new(count).unwrap();
        let name = format!("PARTITIONS_{count}");
        let stream = stream::Config {
            name: name.clone(),
            subjects: vec![format!("users_{count}.*")],
            subject_transform: Some(stream::SubjectTransform {
                source: format!("users_{count}.*"),
                destination: format!("{{{{partition({count},1)}}}}.{{{{wildcard(1)}}}}"),
            }),
            ..stream::Config::default()
        };
        let stream = bus.jetstream.create_stream(stream).await.unwrap();
        let users: Vec<_> = (0..200).map(|_| UserId::mint()).collect();
        for user in &users {
            let subject = format!("users_{count}.{user}");
            bus.jetstream.publish(subject, "".into()).await.unwrap().await.unwrap();
        }
        let stored: HashMap<String, usize> =
            stream.info_with_subjects(">").await.unwrap().try_collect().await.unwrap();
        let expected: HashMap<String, usize> =
            users.iter().map(|user| (format!("{}.{user}", shards.of(*user)), 1)).collect();
        assert_eq!(stored, expected, "{count} shards");
    }
}

#[tokio::test]
async fn leaders_are_spread_over_the_nodes_while_messages_are_stored() {
    let cluster = NatsCluster::builder().nodes(3).start().await.unwrap();
    let declared = Topology { replicas: 3, ..shards(6) };
    let bus = connect(cluster.urls(), &declared).await;
    reconcile::apply(&bus, &declared).await.unwrap();
    bus.ready().await.unwrap();
    assert_eq!(reconcile::diff(&bus, &declared).await.unwrap(), []);

    // All on one node, as after the others were restarted. Nodes of a busy
    // machine may elect another one meanwhile.
    let names: Vec<_> = declared.streams().into_iter().map(|stream| stream.name).collect();
    let first = cluster.nodes()[0].name();
    let gathered = async || {
        let mut all_there = true;
        for name in &names {
            let (from, to) = (leader(&bus.jetstream, name).await, first.to_owned());
            if from != to {
                all_there = false;
                carry_out(&bus, &Move { stream: name.clone(), from, to }).await;
            }
        }
        all_there
    };
    until(gathered, "one node leads all streams").await;
    let plan = place::plan(&bus, &declared).await.unwrap();
    // Four of six inboxes, and two or three of the four other streams.
    assert!(plan.len() >= 6, "{plan:?}");

    let inboxes = Inboxes::new(bus.clone());
    let spread = until(
        async || {
            let plan = place::plan(&bus, &declared).await.unwrap();
            for step in &plan {
                carry_out(&bus, step).await;
            }
            plan.is_empty() && inboxes_led(&bus, &names).await == [2, 2, 2]
        },
        "the leaders are spread",
    );
    tokio::pin!(spread);
    let (user, device) = (UserId::mint(), DeviceId::mint());
    let mut stored = 0;
    loop {
        let id = format!("a.{stored}");
        let store = inboxes.store(user, device, &id, "{}".into());
        tokio::select! {
            () = &mut spread => break,
            result = store => { result.unwrap(); }
        }
        stored += 1;
    }
    assert!(stored > 0);
}

/// As somebody who will look again: on a busy machine a copy may lag, or another
/// node be elected.
async fn carry_out(bus: &Bus, step: &Move) {
    if let Err(error) = place::carry_out(bus, step).await {
        eprintln!("{step}: {error}");
    }
}

/// How many inboxes each node leads that leads any.
async fn inboxes_led(bus: &Bus, streams: &[String]) -> Vec<usize> {
    let mut led = HashMap::<String, usize>::new();
    for name in streams.iter().filter(|name| name.starts_with("INBOX_")) {
        *led.entry(leader(&bus.jetstream, name).await).or_default() += 1;
    }
    led.into_values().collect()
}

async fn leader(jetstream: &jetstream::Context, stream: &str) -> String {
    let find = async || {
        let stream = jetstream.get_stream(stream).await.ok()?;
        stream.cached_info().cluster.clone()?.leader
    };
    until_some(find, format_args!("{stream} has a leader")).await
}

#[tokio::test]
async fn the_shipped_configuration_is_valid_and_asks_where_the_messages_go() {
    let program = Program::find().unwrap();
    let progress = indicatif::ProgressBar::hidden();
    let nats_server = Binary::find_or_fetch(&program, &progress).await.unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/server.conf");
    let checked = |store: Option<&str>, flags: &[&str]| {
        let mut command = Command::new(nats_server.path());
        command.arg("-t").arg("-c").arg(&shipped).args(flags).env_remove("PETREL_NATS_STORE");
        if let Some(store) = store {
            command.env("PETREL_NATS_STORE", store);
        }
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };

    let (valid, said) = checked(None, &[]);
    assert!(!valid && said.contains("PETREL_NATS_STORE"), "{said}");
    let (valid, said) = checked(Some("/var/lib/petrel"), &[]);
    assert!(valid, "{said}");
    let node = ["--name", "n1", "--cluster_name", "petrel", "-a", "10.0.0.1"];
    let routes = ["--cluster", "nats://10.0.0.1:6222", "--routes", "nats://10.0.0.2:6222"];
    let (valid, said) = checked(Some("/var/lib/petrel"), &[node.as_slice(), &routes].concat());
    assert!(valid, "{said}");
}
