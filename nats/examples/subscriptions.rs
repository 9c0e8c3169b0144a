//! What a subscription costs the process that holds it: async-nats against
//! [`nats::mux`]. The figures of ADR 0001 come from here.
//!
//! `cargo run --release -p nats --example subscriptions -- nats://127.0.0.1:4222 20000`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use nats::{
    NatsOptions,
    mux::{Delivery, Mux, Sink},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Clone)]
struct Nowhere;

impl Sink for Nowhere {
    fn deliver(&self, _: Delivery<'_>) {}
    fn gap(&self) {}
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "nats://127.0.0.1:4222".into());
    let count: usize = arguments.next().map_or(20_000, |count| count.parse().unwrap());
    let subject = |index| format!("live.0.u_01k0000000000000000000{index:06}.d_0123456789");

    let options = NatsOptions { nats: vec![server.clone()], ..NatsOptions::default() };
    let shutdown = CancellationToken::new();
    let mux = Mux::start(&options, "measure", &TaskTracker::new(), shutdown.clone());
    mux.flush().await.unwrap();
    let before = rss();
    let held: Vec<_> = (0..count).map(|index| mux.subscribe(&subject(index), Nowhere)).collect();
    mux.flush().await.unwrap();
    println!("nats::mux   {:6} bytes a subscription", (rss() - before) / count);
    drop(held);
    mux.flush().await.unwrap();

    let client = async_nats::connect(server).await.unwrap();
    let before = rss();
    let mut held = Vec::with_capacity(count);
    for index in 0..count {
        held.push(client.subscribe(subject(index)).await.unwrap());
    }
    client.flush().await.unwrap();
    println!("async-nats  {:6} bytes a subscription", (rss() - before) / count);
}

fn rss() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
