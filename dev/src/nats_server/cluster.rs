//! One node, or three that keep three copies.

use std::{path::PathBuf, sync::Arc};

use futures_util::future::try_join_all;

use super::{
    Binary, NatsServer, SyncMode,
    config::{Config, NodePorts},
};
use crate::{Program, StartError, child::Log, folder::Folder, log, ports};

/// How often other ports are tried when another process took one first.
const PORT_ATTEMPTS: usize = 5;

/// A running cluster, by default of no nodes. Dropping it kills its nodes.
#[derive(Default)]
pub struct NatsCluster {
    nodes: Vec<NatsServer>,
}

/// How a cluster is to be started.
#[must_use]
pub struct NatsClusterBuilder {
    nodes: usize,
    sync: SyncMode,
    folder: Option<PathBuf>,
    program: Option<Program>,
    binary: Option<Binary>,
    further: String,
    log: Log,
}

impl NatsCluster {
    /// One node, default sync mode, data in a temporary folder.
    pub fn builder() -> NatsClusterBuilder {
        NatsClusterBuilder {
            nodes: 1,
            sync: SyncMode::Default,
            folder: None,
            program: None,
            binary: None,
            further: String::new(),
            log: log::quiet(),
        }
    }

    /// The nodes, in an order that stays.
    pub fn nodes(&self) -> &[NatsServer] {
        &self.nodes
    }

    /// Where clients connect, one URL a node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(NatsServer::url).collect()
    }

    /// How many copies a stream can have.
    pub fn replicas(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn into_first(mut self) -> NatsServer {
        self.nodes.swap_remove(0)
    }
}

impl NatsClusterBuilder {
    /// How many nodes: 1, or 3 for streams of three copies.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// When they write to the disk.
    pub fn sync(mut self, sync: SyncMode) -> Self {
        self.sync = sync;
        self
    }

    /// Keeps the data in this folder.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Starts the nodes through this binary rather than [`Program::find`]'s.
    pub fn program(mut self, program: Program) -> Self {
        self.program = Some(program);
        self
    }

    /// Starts this nats-server rather than [`Binary::find_or_fetch`]'s.
    pub fn binary(mut self, binary: Binary) -> Self {
        self.binary = Some(binary);
        self
    }

    /// Adds this to the configuration of each node.
    pub fn further(mut self, configuration: impl Into<String>) -> Self {
        self.further = configuration.into();
        self
    }

    pub(crate) fn log(mut self, log: Log) -> Self {
        self.log = log;
        self
    }

    /// Starts all nodes and waits until JetStream serves on each.
    ///
    /// # Errors
    /// [`StartError`] of any kind.
    pub async fn start(self) -> Result<NatsCluster, StartError> {
        let folder = match &self.folder {
            Some(path) => Folder::keep(path)?,
            None => Folder::temporary()?,
        };
        self.start_in(Arc::new(folder)).await
    }

    pub(crate) async fn start_in(self, folder: Arc<Folder>) -> Result<NatsCluster, StartError> {
        let program = self.program.clone().map_or_else(Program::find, Ok)?;
        let binary = match &self.binary {
            Some(binary) => binary.clone(),
            None => Binary::find_or_fetch(&program, &indicatif::ProgressBar::hidden()).await?,
        };
        let mut attempt = 1;
        loop {
            match self.try_start(&program, &binary, &folder).await {
                Err(error) if error.port_taken() && attempt < PORT_ATTEMPTS => {
                    tracing::info!(attempt, "a port was taken meanwhile, trying others");
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn try_start(
        &self,
        program: &Program,
        binary: &Binary,
        folder: &Arc<Folder>,
    ) -> Result<NatsCluster, StartError> {
        let nodes = self
            .configs()
            .map_err(|error| StartError::Spawn { name: "nats-server".into(), error })?
            .iter()
            .map(|config| NatsServer::new(program, binary, folder, config, Arc::clone(&self.log)))
            .collect::<Result<Vec<_>, _>>()?;
        // At once: no node is healthy before all have elected a leader.
        try_join_all(nodes.iter().map(|node| node.restart())).await?;
        Ok(NatsCluster { nodes })
    }

    fn configs(&self) -> std::io::Result<Vec<Config>> {
        let ports = (0..self.nodes)
            .map(|_| {
                Ok(NodePorts {
                    client: ports::pick()?,
                    monitor: ports::pick()?,
                    route: ports::pick()?,
                })
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        let routes = match &ports[..] {
            [_] => Vec::new(),
            several => several.iter().map(|ports| ports.route).collect(),
        };
        let config = |(index, ports)| Config {
            name: format!("nats-{}", index + 1),
            ports,
            routes: routes.clone(),
            sync: self.sync,
            further: self.further.clone(),
        };
        Ok(ports.into_iter().enumerate().map(config).collect())
    }
}
