//! NATS behind TLS: both connections of a gateway, and those of workers.

use std::{fs, path::PathBuf};

use dev::{NatsCluster, StackBuilder};
use nats::{Bus, NatsOptions, Topology, reconcile};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tempfile::TempDir;

use super::party::Party;
use crate::support::{self, until};

/// What the operator sets, and NATS clients read.
const ROOTS: &str = "SSL_CERT_FILE";

/// A certificate for this machine's address that signs itself.
struct Certificate {
    folder: TempDir,
}

impl Certificate {
    fn make() -> Self {
        let names = ["127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let made = Self { folder: TempDir::new().unwrap() };
        fs::write(made.path(), cert.pem()).unwrap();
        fs::write(made.key(), signing_key.serialize_pem()).unwrap();
        made
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// A nats-server that shows it. Whoever does not ask for TLS gets none, as
    /// these tests themselves.
    async fn served(&self) -> NatsCluster {
        let (cert, key) = (self.path(), self.key());
        let tls =
            format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}\nallow_non_tls: true\n");
        NatsCluster::builder().further(tls).start().await.unwrap()
    }
}

/// Gateways and workers that insist on TLS.
fn behind(nats: &NatsCluster) -> StackBuilder {
    let encrypted = nats.urls().iter().map(|url| url.replace("nats://", "tls://")).collect();
    let options = NatsOptions { nats: encrypted, ..NatsOptions::default() };
    support::stack().nats_at(options).limits(false)
}

async fn bus(nats: &NatsCluster) -> Bus {
    let options = NatsOptions { nats: nats.urls(), ..NatsOptions::default() };
    Bus::connect(&options, "test").await.unwrap()
}

/// The connections in that state, as the server tells of them.
async fn connections(nats: &NatsCluster, state: &str) -> Vec<Value> {
    let url = format!("{}/connz?state={state}", nats.nodes()[0].monitor_url());
    let answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    answer["connections"].as_array().cloned().unwrap_or_default()
}

/// The names of all others who are connected, and whether by TLS.
async fn connected(nats: &NatsCluster) -> Vec<(String, bool)> {
    let named = |connection: &Value| {
        let name = connection["name"].as_str().unwrap_or_default().to_owned();
        (name, connection["tls_version"].is_string())
    };
    let connections = connections(nats, "open").await;
    connections.iter().map(named).filter(|(name, _)| !name.starts_with("test")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_talk_by_tls_and_its_connections_come_back() {
    let certificate = Certificate::make();
    let nats = certificate.served().await;
    let bus = bus(&nats).await;
    reconcile::apply(&bus, &Topology::default()).await.unwrap();
    let stack = behind(&nats).env(ROOTS, certificate.path().to_str().unwrap());
    let stack = stack.start().await.unwrap();
    let party = Party::on(&stack, bus).await;
    party.talks_while(party.confirms(5)).await;
    party.settles().await;

    let connections = connected(&nats).await;
    // The gateway's requests, reads and subscriptions, the workers' requests and reads.
    assert!(connections.len() >= 5, "{connections:?}");
    assert!(connections.iter().all(|(_, by_tls)| *by_tls), "{connections:?}");

    party
        .talks_while(async {
            nats.nodes()[0].kill9().await;
            nats.nodes()[0].restart().await.unwrap();
            party.confirms(5).await;
        })
        .await;
    party.settles().await;
    party.leaves_nothing_behind().await;
    assert!(connected(&nats).await.iter().all(|(_, by_tls)| *by_tls));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_shows_somebody_elses_certificate_is_not_talked_to() {
    let (certificate, other) = (Certificate::make(), Certificate::make());
    let nats = certificate.served().await;
    reconcile::apply(&bus(&nats).await, &Topology::default()).await.unwrap();
    let roots = other.path().to_str().unwrap().to_owned();
    let gateway = behind(&nats).workers(0).env(ROOTS, &roots);
    let worker = behind(&nats).gateways(0).workers(1).env(ROOTS, &roots);
    for (stack, times) in [(gateway, 2), (worker, 4)] {
        let refused = async || {
            let closed = connections(&nats, "closed").await;
            closed.iter().filter(|one| one["reason"] == "TLS Handshake Failure").count() >= times
        };
        tokio::select! {
            started = stack.start() => panic!("it was believed: {}", started.is_ok()),
            () = until(refused, "it hangs up, and tries again") => {}
        }
    }
    assert_eq!(connected(&nats).await, []);
}
