//! How a stack is to be started.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::{try_join, try_join_all};
use indicatif::ProgressBar;
use nats::{Bus, NatsOptions, Topology, reconcile};
use store::DirectoryOptions;

use super::{
    Gateway, Stack, Worker,
    kept::{self, Shape},
    media_folder,
    roles::{Setup, check_free},
};
use crate::{Binary, NatsCluster, Program, StartError, SyncMode, child::Log, folder::Folder, log};

/// A person who stops a stack on their own machine does not want to wait.
const DRAIN_SECS: &str = "2";

/// How a stack is to be started; see [`Stack::builder`].
#[derive(Clone)]
#[must_use]
pub struct StackBuilder {
    gateways: usize,
    workers: usize,
    nats_nodes: usize,
    nats_at: Option<NatsOptions>,
    sync: SyncMode,
    topology: Topology,
    directory: DirectoryOptions,
    limits: bool,
    listen: SocketAddr,
    data: Option<PathBuf>,
    env: Vec<(String, String)>,
    program: Option<Program>,
    progress: ProgressBar,
    log: Log,
}

impl Default for StackBuilder {
    fn default() -> Self {
        Self {
            gateways: 1,
            workers: 1,
            nats_nodes: 1,
            nats_at: None,
            sync: SyncMode::Default,
            topology: Topology::default(),
            directory: DirectoryOptions::default(),
            limits: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: None,
            env: Vec::new(),
            program: None,
            progress: ProgressBar::hidden(),
            log: log::quiet(),
        }
    }
}

impl StackBuilder {
    /// How many gateways.
    pub fn gateways(mut self, gateways: usize) -> Self {
        self.gateways = gateways;
        self
    }

    /// How many workers.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How many nats-servers: 1, or 3 for a cluster that keeps three copies.
    pub fn nats_nodes(mut self, nodes: usize) -> Self {
        self.nats_nodes = nodes;
        self
    }

    /// Starts no nats-servers: the parts use these, which are somebody else's,
    /// and whose topology is theirs to apply.
    pub fn nats_at(mut self, options: NatsOptions) -> Self {
        self.nats_at = Some(options);
        self
    }

    /// When the nats-servers write to the disk.
    pub fn sync(mut self, sync: SyncMode) -> Self {
        self.sync = sync;
        self
    }

    /// What the streams are like; three nodes keep three copies in any case.
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = topology;
        self
    }

    /// Where the gateways keep users and groups, whatever the environment of
    /// this process says: in NATS, unless this names a MongoDB.
    pub fn directory(mut self, directory: DirectoryOptions) -> Self {
        self.directory = directory;
        self
    }

    /// Whether the gateways limit rates.
    pub fn limits(mut self, limits: bool) -> Self {
        self.limits = limits;
        self
    }

    /// Where the first gateway serves; the others take the ports that follow.
    /// With port 0 each takes a free one.
    pub fn listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Keeps all data, and the key that signs tokens, in this folder.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Sets an environment variable of the gateways and workers.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts the parts with this binary rather than [`Program::find`]'s.
    pub fn program(mut self, program: Program) -> Self {
        self.program = Some(program);
        self
    }

    /// Shows what is fetched.
    pub fn progress(mut self, progress: ProgressBar) -> Self {
        self.progress = progress;
        self
    }

    /// Passes all that the processes print on to stderr.
    pub fn log_to_stderr(self) -> Self {
        self.log(log::stderr())
    }

    pub(crate) fn log(mut self, log: Log) -> Self {
        self.log = log;
        self
    }

    /// Starts all of it and waits until it serves.
    ///
    /// # Errors
    /// [`StartError`] of any kind.
    pub async fn start(self) -> Result<Stack, StartError> {
        let listen = self.addresses()?;
        let folder = match &self.data {
            Some(path) => Folder::keep(path)?,
            None => Folder::temporary()?,
        };
        let folder = Arc::new(folder);
        let shards = self.topology.shards.count();
        let shape = Shape { nats_nodes: self.nats_nodes, shards };
        kept::check_shape(folder.path(), shape)?;
        let keys = [kept::signing_key(folder.path())?, kept::vapid_key(folder.path())?];
        let program = self.program.clone().map_or_else(Program::find, Ok)?;

        let (nats, options) = match &self.nats_at {
            Some(options) => (NatsCluster::default(), options.clone()),
            None => {
                let nats = self.start_nats(&program, &folder).await?;
                let options = NatsOptions { nats: nats.urls(), shards };
                self.apply_topology(&options).await?;
                (nats, options)
            }
        };

        let setup = Setup {
            program,
            nats: options.clone(),
            limits: self.limits,
            directory: self.directory,
            env: environment(keys, folder.path(), self.env),
            log: self.log,
        };
        let gateways =
            listen.into_iter().enumerate().map(|(n, addr)| Gateway::start(&setup, n, addr));
        let workers = (0..self.workers).map(|n| Worker::start(&setup, n));
        let (gateways, workers) = try_join(try_join_all(gateways), try_join_all(workers)).await?;
        Ok(Stack { gateways, workers, nats, options, folder })
    }

    async fn start_nats(
        &self,
        program: &Program,
        folder: &Arc<Folder>,
    ) -> Result<NatsCluster, StartError> {
        let binary = Binary::find_or_fetch(program, &self.progress).await?;
        NatsCluster::builder()
            .nodes(self.nats_nodes)
            .sync(self.sync)
            .program(program.clone())
            .binary(binary)
            .log(Arc::clone(&self.log))
            .start_in(Arc::clone(folder))
            .await
    }

    /// Makes the streams as they are declared; elsewhere that is an operator's task.
    async fn apply_topology(&self, options: &NatsOptions) -> Result<(), StartError> {
        let bus = Bus::connect(options, "dev").await.map_err(StartError::topology)?;
        let declared = Topology { replicas: self.nats_nodes, ..self.topology };
        reconcile::apply(&bus, &declared).await.map(drop).map_err(StartError::topology)
    }

    /// Where the gateways are to serve. An address that was asked for and is in
    /// use is best told before anything has been started.
    fn addresses(&self) -> Result<Vec<SocketAddr>, StartError> {
        let mut addresses = Vec::with_capacity(self.gateways);
        let mut next = Some(self.listen);
        for _ in 0..self.gateways {
            let addr = next.ok_or(StartError::PortsExhausted(self.listen, self.gateways))?;
            if addr.port() != 0 {
                check_free(addr)?;
            }
            addresses.push(addr);
            next = successor(addr);
        }
        Ok(addresses)
    }
}

/// The address on the next port; 0 means any port and stays.
fn successor(addr: SocketAddr) -> Option<SocketAddr> {
    let port = if addr.port() == 0 { 0 } else { addr.port().checked_add(1)? };
    Some(SocketAddr::new(addr.ip(), port))
}

/// What the gateways and workers of a stack on one's own machine are told,
/// unless the builder says otherwise.
fn environment(
    [signing_key, vapid_key]: [String; 2],
    folder: &Path,
    more: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let media = media_folder(folder).to_string_lossy().into_owned();
    let defaults = [
        ("PETREL_MEDIA", media.as_str()),
        ("PETREL_SIGNING_KEY", signing_key.as_str()),
        ("PETREL_VAPID_KEY", vapid_key.as_str()),
        ("PETREL_VAPID_SUBJECT", "mailto:dev@localhost"),
        ("PETREL_PASSWORD_MIN", "1"),
        ("PETREL_DRAIN_SECS", DRAIN_SECS),
    ];
    let defaults = defaults.map(|(name, value)| (name.to_owned(), value.to_owned()));
    // Of two values of one name, the later is set.
    defaults.into_iter().chain(more).collect()
}
