//! The servers that the other tests stand on.

use std::{path::Path, time::Duration};

use async_nats::{
    StatusCode,
    jetstream::{
        self,
        consumer::{AckPolicy, pull},
        stream::Config,
    },
};
use dev::{NatsCluster, NatsServer, SyncMode};
use futures_util::StreamExt as _;

use crate::support;

async fn jetstream(urls: &[String]) -> jetstream::Context {
    let servers: Vec<async_nats::ServerAddr> =
        urls.iter().map(|url| url.parse().unwrap()).collect();
    jetstream::new(async_nats::connect(servers).await.unwrap())
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn the_shared_server_serves_jetstream() {
    let nats = support::shared_nats().await;
    let account = jetstream(&[nats.url()]).await.query_account().await;
    assert!(account.is_ok(), "{account:?}");
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_with_its_data() {
    let nats = NatsServer::start(SyncMode::Always).await.unwrap();
    let (url, first) = (nats.url(), nats.pid().unwrap());
    let context = jetstream(&[nats.url()]).await;
    let config = Config { name: "KEPT".into(), subjects: vec!["kept".into()], ..Config::default() };
    context.create_stream(config).await.unwrap();
    context.publish("kept", "message".into()).await.unwrap().await.unwrap();

    nats.kill9().await;
    assert_eq!(nats.pid(), None);
    nats.restart().await.unwrap();

    assert_eq!(nats.url(), url);
    assert_ne!(nats.pid(), Some(first));
    let context = jetstream(&[nats.url()]).await;
    let mut stream = context.get_stream("KEPT").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
}

#[tokio::test]
async fn three_nodes_keep_three_copies_and_work_without_one() {
    let cluster = NatsCluster::builder().nodes(3).start().await.unwrap();
    let context = jetstream(&cluster.urls()).await;
    let config = Config {
        name: "COPIES".into(),
        subjects: vec!["copies".into()],
        num_replicas: 3,
        ..Config::default()
    };
    // Where the machine stood still, the nodes may not have heard of each other lately.
    let made = async || context.create_stream(config.clone()).await.ok();
    support::until_some(made, "a stream with three copies").await;

    cluster.nodes()[1].kill9().await;
    // A new leader may have to be elected first.
    let stored = async {
        loop {
            if let Ok(ack) = context.publish("copies", "message".into()).await
                && let Ok(ack) = ack.await
            {
                return ack.sequence;
            }
        }
    };
    let stored = tokio::time::timeout(Duration::from_secs(60), stored).await;
    assert!(stored.is_ok(), "two nodes of three do not store");
    cluster.nodes()[1].restart().await.unwrap();
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let nats = NatsServer::start(SyncMode::Default).await.unwrap();
    let pid = nats.pid().unwrap();
    drop(nats);
    assert!(!runs(pid));
}

/// How push workers ask for messages.
#[tokio::test]
async fn a_request_for_what_is_there_waits_for_the_first_and_is_over_with_the_last() {
    let nats = support::shared_nats().await;
    let context = jetstream(&[nats.url()]).await;
    let config =
        Config { name: "ASKED".into(), subjects: vec!["asked".into()], ..Config::default() };
    let stream = context.create_stream(config).await.unwrap();
    let consumer = pull::Config {
        durable_name: Some("asks".into()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    stream.create_consumer(consumer).await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    let store = async |text: &'static str| {
        context.publish("asked", text.into()).await.unwrap().await.unwrap().sequence
    };
    let ask = async || {
        let next = "$JS.API.CONSUMER.MSG.NEXT.ASKED.asks";
        let request = r#"{"batch":9,"expires":60000000000,"no_wait":true}"#;
        client.publish_with_reply(next, inbox.clone(), request.into()).await.unwrap();
        client.flush().await.unwrap();
    };
    let mut answer = async || {
        let answer = answers.next().await.unwrap();
        answer.status.map_or_else(|| Ok(answer.payload), Err)
    };

    ask().await;
    store("first").await;
    assert_eq!(answer().await, Ok("first".into()));
    assert_eq!(answer().await, Err(StatusCode::NOT_FOUND));
    let gone = store("gone meanwhile").await;
    store("second").await;
    store("third").await;
    stream.delete_message(gone).await.unwrap();
    ask().await;
    assert_eq!(answer().await, Ok("second".into()));
    assert_eq!(answer().await, Ok("third".into()));
    assert_eq!(answer().await, Err(StatusCode::NOT_FOUND));
}
