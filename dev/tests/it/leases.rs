//! The leases of gateways on a real nats-server.

use std::{collections::BTreeSet, time::Duration};

use dev::{NatsServer, SyncMode};
use nats::{Bus, Leases, NatsOptions, Topology, reconcile};
use schemas::GatewayId;
use tokio::time::Instant;

use crate::support::undisturbed;

const LIFE: Duration = Duration::from_secs(2);
/// The server looks for what has ended about every so often.
const NOTICED: Duration = Duration::from_secs(2);

async fn leases(server: &NatsServer) -> Leases {
    let options = NatsOptions { nats: vec![server.url()], shards: 1 };
    let bus = Bus::connect(&options, "test").await.unwrap();
    let declared = Topology { shards: bus.shards, ..Topology::default() };
    reconcile::apply(&bus, &declared).await.unwrap();
    Leases::new(bus)
}

/// Waits until this one has ended, and says who lives.
async fn ended(leases: &Leases, gateway: GatewayId) -> BTreeSet<GatewayId> {
    let start = Instant::now();
    loop {
        let live = leases.live().await.unwrap();
        if !live.contains(&gateway) {
            return live;
        }
        assert!(start.elapsed() < LIFE + NOTICED, "{live:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_by_itself() {
    undisturbed(async || {
        let server = NatsServer::start(SyncMode::Default).await.unwrap();
        let leases = leases(&server).await;
        assert_eq!(leases.live().await.unwrap(), BTreeSet::new());
        let (kept, left) = (GatewayId::mint(), GatewayId::mint());
        let taken = Instant::now();
        leases.renew(left, "left", LIFE).await.unwrap();
        leases.renew(kept, "kept", LIFE).await.unwrap();
        assert_eq!(leases.live().await.unwrap(), [kept, left].into());

        // Renewed well beyond the life of the first lease.
        while taken.elapsed() < LIFE + NOTICED {
            let renewed = Instant::now();
            leases.renew(kept, "kept", LIFE).await.unwrap();
            let live = leases.live().await.unwrap();
            assert!(live.contains(&kept) || renewed.elapsed() >= LIFE, "it ended although renewed");
            assert!(live.contains(&left) || taken.elapsed() >= LIFE, "it ended early");
            tokio::time::sleep(LIFE / 8).await;
        }
        ended(&leases, left).await;
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_ended_is_gone_at_once_and_can_be_taken_again() {
    undisturbed(async || {
        let server = NatsServer::start(SyncMode::Default).await.unwrap();
        let leases = leases(&server).await;
        let (one, other) = (GatewayId::mint(), GatewayId::mint());
        leases.renew(one, "one", LIFE).await.unwrap();
        leases.renew(other, "other", LIFE).await.unwrap();
        leases.end(one).await.unwrap();
        assert_eq!(leases.live().await.unwrap(), [other].into());
        leases.renew(one, "one", LIFE).await.unwrap();
        assert_eq!(leases.live().await.unwrap(), [one, other].into());
    })
    .await;
}

#[tokio::test]
async fn a_restarted_server_takes_nobody_for_dead_and_lets_no_lease_live_longer() {
    undisturbed(async || {
        const LONG: Duration = Duration::from_secs(60);
        let server = NatsServer::start(SyncMode::Default).await.unwrap();
        let leases = leases(&server).await;
        let (long, short) = (GatewayId::mint(), GatewayId::mint());
        leases.renew(long, "long", LONG).await.unwrap();
        leases.renew(short, "short", LIFE).await.unwrap();
        server.kill9().await;
        server.restart().await.unwrap();
        assert!(leases.live().await.unwrap().contains(&long));
        assert_eq!(ended(&leases, short).await, [long].into());
    })
    .await;
}
