//! A whole Petrel on this machine: nats-servers, gateways and workers, each a
//! child process that can be killed and started again.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use nats::{Bus, NatsOptions};

use crate::{NatsCluster, StartError, folder::Folder, process::Process};

mod announcement;
mod builder;
mod kept;
mod roles;

pub(crate) use announcement::Announcement;
pub use builder::StackBuilder;
pub use roles::{Gateway, Worker};

/// How long the gateways may drain.
const GATEWAY_GRACE: Duration = Duration::from_secs(20);
/// How long the workers may finish what they hold.
const WORKER_GRACE: Duration = Duration::from_secs(10);
/// How long the nodes may take to end.
const NATS_GRACE: Duration = Duration::from_secs(10);

/// Where the media of a stack with this data folder are.
fn media_folder(data: &Path) -> PathBuf {
    data.join("media")
}

/// A running stack. Dropping it kills all of it.
pub struct Stack {
    // Dropped in this order.
    gateways: Vec<Gateway>,
    workers: Vec<Worker>,
    nats: NatsCluster,
    options: NatsOptions,
    folder: Arc<Folder>,
}

/// The processes of a stack that run now, to account for what they use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pids {
    /// Of the gateways.
    pub gateways: Vec<u32>,
    /// Of the workers.
    pub workers: Vec<u32>,
    /// Of the nats-servers.
    pub nats: Vec<u32>,
}

impl Stack {
    /// One gateway, one worker and one nats-server on free ports, with all data
    /// in a temporary folder.
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }

    /// The gateways.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// The workers.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The nats-servers; none with [`StackBuilder::nats_at`].
    pub fn nats(&self) -> &NatsCluster {
        &self.nats
    }

    /// Where the gateways serve clients.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(|gateway| gateway.addr()).collect()
    }

    /// How a process of this stack finds NATS.
    pub fn nats_options(&self) -> &NatsOptions {
        &self.options
    }

    /// Where the media are, unless the stack's processes were told something else.
    pub fn media_folder(&self) -> PathBuf {
        media_folder(self.folder.path())
    }

    /// A new connection to the cluster, which has the topology.
    ///
    /// # Errors
    /// [`StartError::Topology`] if there is no node to connect to.
    pub async fn bus(&self) -> Result<Bus, StartError> {
        Bus::connect(&self.options, "dev").await.map_err(StartError::topology)
    }

    /// The processes that run now.
    pub fn pids(&self) -> Pids {
        Pids {
            gateways: self.gateways.iter().filter_map(|gateway| gateway.pid()).collect(),
            workers: self.workers.iter().filter_map(|worker| worker.pid()).collect(),
            nats: self.nats.nodes().iter().filter_map(|node| node.pid()).collect(),
        }
    }

    /// Ends it cleanly: gateways are drained first, then the workers finish what
    /// they hold, then the nats-servers end. What does not end in time is killed.
    pub async fn stop(&self) {
        join_all(self.gateways.iter().map(|gateway| gateway.stop(GATEWAY_GRACE))).await;
        join_all(self.workers.iter().map(|worker| worker.stop(WORKER_GRACE))).await;
        join_all(self.nats.nodes().iter().map(|node| node.stop(NATS_GRACE))).await;
    }

    /// All of it, those first that others stand on.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        let nats = self.nats.nodes().iter().map(|node| -> &Process { node });
        let workers = self.workers.iter().map(|worker| -> &Process { worker });
        nats.chain(workers).chain(self.gateways.iter().map(|gateway| -> &Process { gateway }))
    }
}
