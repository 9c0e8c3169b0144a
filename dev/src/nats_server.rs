//! A nats-server of one's own: one node, alone or in a cluster.

use std::{fs, path::Path, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use crate::{Program, StartError, child::Log, folder::Folder, part::Part};

mod binary;
mod cluster;
mod config;

pub use binary::{Binary, VERSION};
pub use cluster::{NatsCluster, NatsClusterBuilder};
pub use config::SyncMode;

use config::{Config, NodePorts};

/// From the start of the process to the line that it serves.
const SERVES_WITHIN: Duration = Duration::from_secs(20);
/// From there to JetStream that works: in a cluster a leader is elected.
const HEALTHY_WITHIN: Duration = Duration::from_secs(40);
/// The server has no event to wait on, so its health is asked this often.
const HEALTH_INTERVAL: Duration = Duration::from_millis(25);
/// For one such question.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// One nats-server with JetStream on a loopback port, which it keeps over
/// restarts. It is killed when this is dropped, or when this process ends.
pub struct NatsServer {
    part: Part<()>,
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
        format!("http://127.0.0.1:{}", self.ports.monitor)
    }

    /// Of the process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.part.pid()
    }

    /// SIGKILL, and waits until it is dead.
    pub async fn kill9(&self) {
        self.part.kill9().await;
    }

    /// Starts it again on the same ports and data, killing it first if it runs,
    /// and waits until its JetStream serves.
    ///
    /// # Errors
    /// [`StartError::Died`], [`StartError::NotReady`].
    pub async fn restart(&self) -> Result<(), StartError> {
        self.launch().await?;
        self.healthy().await
    }

    /// SIGTERM, and SIGKILL if that did nothing within `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.part.stop(grace).await;
    }

    pub(crate) fn part(&self) -> &Part<()> {
        &self.part
    }

    fn new(
        program: &Program,
        binary: &Binary,
        folder: &Arc<Folder>,
        config: &Config,
        log: Log,
    ) -> Result<Self, StartError> {
        let path = write_config(config, folder.path())?;
        let (program, binary) = (program.clone(), binary.path().to_owned());
        let name = config.name.clone();
        let command = move || {
            let mut command = program.guard(&binary, &name);
            command.arg("--config").arg(&path);
            command
        };
        let part = Part::new(config.name.clone(), command, serves, SERVES_WITHIN, log);
        Ok(Self { part, ports: config.ports, _folder: Arc::clone(folder) })
    }

    /// Starts the process and waits until it accepts connections.
    async fn launch(&self) -> Result<(), StartError> {
        self.part.start().await
    }

    /// Waits until it says that JetStream is up, the cluster has a leader, and
    /// what it stores has caught up with the other nodes.
    async fn healthy(&self) -> Result<(), StartError> {
        let Some(child) = self.part.child() else { return Ok(()) };
        tokio::select! {
            asked = timeout(HEALTHY_WITHIN, self.ask_until_healthy()) => {
                asked.map_err(|_| child.not_ready(HEALTHY_WITHIN))
            }
            status = child.exited() => Err(child.died(status)),
        }
    }

    async fn ask_until_healthy(&self) {
        let client = reqwest::Client::new();
        let url = format!("{}/healthz", self.monitor_url());
        loop {
            let answer = client.get(&url).timeout(HEALTH_TIMEOUT).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            sleep(HEALTH_INTERVAL).await;
        }
    }
}

fn write_config(config: &Config, folder: &Path) -> Result<std::path::PathBuf, StartError> {
    let folder = folder.join(&config.name);
    let path = folder.join("server.conf");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, config.render(&folder)))
        .map_err(|error| StartError::folder(folder, error))?;
    Ok(path)
}

/// The line that the server prints once it accepts connections.
fn serves(line: &str) -> Option<()> {
    line.ends_with("Server is ready").then_some(())
}
