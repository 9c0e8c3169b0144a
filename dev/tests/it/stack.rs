//! The stack that the other tests and the load generator stand on.

use std::time::Duration;

use dev::{Process, Stack, StartError};
use serde_json::json;

use crate::support;

async fn status(url: &str) -> Option<u16> {
    reqwest::get(url).await.ok().map(|answer| answer.status().as_u16())
}

async fn register(url: &str, username: &str) -> u16 {
    let account = json!({"username": username, "password": "secret", "name": username});
    let call = reqwest::Client::new().post(format!("{url}/v1/register")).json(&account);
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_shared_stack_serves_on_both_gateways() {
    let stack = support::shared_stack().await;
    let [first, second] = stack.gateways() else { panic!("two gateways were asked for") };
    assert_eq!(register(&first.url(), "shared-stack").await, 201);
    assert_eq!(register(&second.url(), "shared-stack").await, 409, "they share one directory");
    for admin in [first.admin_addr(), second.admin_addr(), stack.workers()[0].admin_addr()] {
        assert_eq!(status(&format!("http://{admin}/metrics")).await, Some(200), "{admin}");
    }
    stack.bus().await.unwrap().ready().await.unwrap();
}

#[tokio::test]
async fn every_process_is_killed_and_comes_back_where_it_was() {
    let stack = support::stack().start().await.unwrap();
    let (gateway, worker, node) =
        (&stack.gateways()[0], &stack.workers()[0], &stack.nats().nodes()[0]);
    let (addrs, url) = (stack.addrs(), gateway.url());
    let before = stack.pids();
    assert_eq!((before.gateways.len(), before.workers.len(), before.nats.len()), (1, 1, 1));
    assert_eq!(register(&url, "kept").await, 201);

    let processes: [&Process; 3] = [gateway, worker, node];
    for process in processes {
        process.kill9().await;
        assert_eq!(process.pid(), None, "{}", process.name());
        process.restart().await.unwrap();
        assert!(process.pid().is_some(), "{}", process.name());
    }

    let after = stack.pids();
    assert_ne!(before.gateways, after.gateways);
    assert_ne!(before.workers, after.workers);
    assert_ne!(before.nats, after.nats);
    assert_eq!(stack.addrs(), addrs);
    assert_eq!(register(&url, "kept").await, 409, "what was stored is still there");
}

#[tokio::test]
async fn a_gateway_that_is_asked_to_end_does() {
    let stack = support::stack().gateways(2).start().await.unwrap();
    let [leaving, staying] = stack.gateways() else { panic!("two gateways were asked for") };
    leaving.terminate();
    assert!(leaving.exited().await.is_some_and(|status| status.success()));
    assert_eq!(status(&format!("{}/healthz", leaving.url())).await, None);
    assert_eq!(status(&format!("{}/healthz", staying.url())).await, Some(200));
    leaving.stop(Duration::ZERO).await;

    stack.stop().await;
    assert_eq!(stack.pids(), dev::Pids::default());
}

#[tokio::test]
async fn what_a_process_printed_explains_a_start_that_fails() {
    let failed = support::stack().env("PETREL_ARGON2_PASSES", "many").start().await;
    let Err(StartError::Died { name, output, .. }) = failed.map(drop) else {
        panic!("it started with a setting that is no number");
    };
    assert_eq!(name, "gateway-1");
    assert!(output.contains("--argon2-passes"), "{output}");
}

#[tokio::test]
async fn data_is_not_opened_by_another_number_of_nodes() {
    let data = tempfile::tempdir().unwrap();
    let one = Stack::builder().data(data.path()).gateways(0).workers(0).start().await.unwrap();
    one.stop().await;
    drop(one);
    let three = Stack::builder().data(data.path()).nats_nodes(3).start().await.map(drop);
    assert!(matches!(three, Err(StartError::Folder { .. })), "{three:?}");
}
