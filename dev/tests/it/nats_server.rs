//! The servers that the other tests stand on.

use std::{path::Path, time::Duration};

use async_nats::jetstream::{self, stream::Config};
use dev::{NatsCluster, NatsServer, SyncMode};

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
    context.create_stream(config).await.unwrap();

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
