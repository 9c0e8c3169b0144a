//! A nats-server of one's own: one node, alone or in a cluster.

use std::{ops::Deref, sync::Arc};

use crate::{Program, StartError, child::Log, folder::Folder, process::Process};

mod binary;
mod cluster;
mod config;

pub use binary::{Binary, VERSION};
pub use cluster::{NatsCluster, NatsClusterBuilder};
pub use config::SyncMode;

use config::{Config, NodeFolder, NodePorts};

/// One nats-server with JetStream on a loopback port. As a [`Process`] it is
/// ready when its JetStream serves: in a cluster, when there is a leader and
/// what the node stores has caught up.
pub struct NatsServer {
    process: Process,
    ports: NodePorts,
    // The data outlives the process that writes it.
    _folder: Arc<Folder>,
}

impl NatsServer {
    /// Starts one node on a free port, with its data in a temporary folder that
    /// goes with it. The binary is fetched first if there is none.
    ///
    /// # Errors
    /// [`StartError`] of any kind.
    pub async fn start(sync: SyncMode) -> Result<Self, StartError> {
        let cluster = NatsCluster::builder().sync(sync).start().await?;
        Ok(cluster.into_first())
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports.client)
    }

    /// Where `/varz`, `/jsz` and the other monitoring pages are.
    pub fn monitor_url(&self) -> String {
        self.ports.monitor_url()
    }

    fn new(
        program: &Program,
        binary: &Binary,
        folder: &Arc<Folder>,
        config: &Config,
        log: Log,
    ) -> Result<Self, StartError> {
        let node = NodeFolder::make(folder.path(), config)
            .map_err(|error| StartError::folder(folder.path(), error))?;
        let (program, binary) = (program.clone(), binary.path().to_owned());
        let name = config.name.clone();
        let command = move || {
            let mut command = program.guard(&binary, &name);
            node.pass_to(&mut command);
            command
        };
        let process = Process::new(config.name.clone(), command, serves, log)
            .health(format!("{}/healthz", config.ports.monitor_url()));
        Ok(Self { process, ports: config.ports, _folder: Arc::clone(folder) })
    }
}

impl Deref for NatsServer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// The line that the server prints once it accepts connections.
fn serves(line: &str) -> bool {
    line.ends_with("Server is ready")
}
