//! Gateways and workers start before what they need, or with wrong settings.

use std::net::{Ipv4Addr, SocketAddr};

use dev::{EX_USAGE, NatsServer, StackBuilder, StartError, SyncMode};
use nats::{Bus, NatsOptions, Topology, reconcile};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{eventually, party::Party};
use crate::support;

fn at(url: String) -> NatsOptions {
    NatsOptions { nats: vec![url], ..NatsOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_early_waits_for_nats_and_for_the_streams() {
    let nats = NatsServer::start(SyncMode::Default).await.unwrap();
    let options = at(nats.url());
    nats.kill9().await;
    let port: SocketAddr = nats.url().trim_start_matches("nats://").parse().unwrap();

    let starting = support::stack().nats_at(options.clone()).limits(false).start();
    let come_late = async {
        is_looked_for(port, 2).await;
        nats.restart().await.unwrap();
        let connected = async || {
            let names = connected(&nats).await;
            names.contains("\"gateway-1\"") && names.contains("\"petrel workers\"")
        };
        eventually("both have found NATS", connected).await;
        let bus = Bus::connect(&options, "test").await.unwrap();
        reconcile::apply(&bus, &Topology::default()).await.unwrap();
    };
    let (stack, ()) = tokio::join!(starting, come_late);
    let stack = stack.unwrap();
    let party = Party::at(&stack).await;
    party.talks_while(party.confirms(5)).await;
    party.settles().await;
    party.leaves_nothing_behind().await;
}

/// Waits until so many connections were tried, and ends each at once.
async fn is_looked_for(port: SocketAddr, times: usize) {
    let nothing = TcpListener::bind(port).await.unwrap();
    for _ in 0..times {
        drop(nothing.accept().await.unwrap());
    }
}

/// The names of all who are connected, as the server's JSON.
async fn connected(nats: &NatsServer) -> String {
    let Ok(answer) = reqwest::get(format!("{}/connz", nats.monitor_url())).await else {
        return String::new();
    };
    let answer: Value = answer.json().await.unwrap();
    let names = answer["connections"].as_array().into_iter().flatten();
    names.map(|connection| connection["name"].to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_a_process_says_so_and_ends() {
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let gateway = || support::stack().gateways(1).workers(0);
    let worker = || support::stack().gateways(0).workers(1);
    let unreachable = format!("nats://{unused}");
    let (says_nothing, no_url) = ("no NATS server could be reached", "--nats");
    tokio::join!(
        ends(gateway(), &unreachable, 1, says_nothing),
        ends(worker(), &unreachable, 1, says_nothing),
        ends(gateway(), "http://127.0.0.1:4222", EX_USAGE.into(), no_url),
        ends(worker(), "http://127.0.0.1:4222", EX_USAGE.into(), no_url),
    );
}

async fn ends(stack: StackBuilder, nats: &str, code: i32, says: &str) {
    let started = stack.nats_at(at(nats.to_owned())).start().await;
    let Err(StartError::Died { name, status, output }) = started.map(drop) else {
        panic!("{nats} is good enough for it");
    };
    assert_eq!(status.and_then(|status| status.code()), Some(code), "{name}: {output}");
    assert!(output.contains(says), "{name}: {output}");
}
