//! The configuration of one node: the file that Petrel ships, and what is
//! different about a node on one's own machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;

/// When a node writes to the disk what it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SyncMode {
    /// The server's default: every two minutes, so a power cut may lose what was
    /// acknowledged; a killed process loses nothing.
    #[default]
    Default,
    /// Before each acknowledgement, as in production.
    Always,
}

/// The loopback ports of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodePorts {
    pub(super) client: u16,
    pub(super) monitor: u16,
    pub(super) route: u16,
}

impl NodePorts {
    pub(super) fn monitor_url(self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }
}

/// What distinguishes one node.
#[derive(Debug)]
pub(super) struct Config {
    /// The same over restarts: a cluster knows its members by name.
    pub(super) name: String,
    pub(super) ports: NodePorts,
    /// The route ports of all nodes, its own included; empty for a single node.
    pub(super) routes: Vec<u16>,
    pub(super) sync: SyncMode,
    /// What is added for all of them.
    pub(super) further: String,
}

/// A node's folder: its configuration, and what it stores.
#[derive(Debug, Clone)]
pub(super) struct NodeFolder(PathBuf);

impl NodeFolder {
    /// Makes it in `parent`.
    pub(super) fn make(parent: &Path, config: &Config) -> io::Result<Self> {
        let path = parent.join(&config.name);
        fs::create_dir_all(&path)?;
        fs::write(path.join("petrel.conf"), nats::SERVER_CONF)?;
        fs::write(path.join("server.conf"), config.render())?;
        Ok(Self(path))
    }

    /// Tells a nats-server to use it.
    pub(super) fn pass_to(&self, command: &mut Command) {
        command.arg("--config").arg(self.0.join("server.conf"));
        command.env("PETREL_NATS_STORE", self.0.join("jetstream"));
    }
}

impl Config {
    fn render(&self) -> String {
        let NodePorts { client, monitor, route } = self.ports;
        let mut text = format!(
            r#"include "petrel.conf"
server_name: {name}
listen: "127.0.0.1:{client}"
http: "127.0.0.1:{monitor}"
"#,
            name = self.name
        );
        if self.sync == SyncMode::Default {
            text += RELAXED_JETSTREAM;
        }
        if !self.routes.is_empty() {
            let routes = self.routes.iter().map(|port| format!("nats://127.0.0.1:{port}"));
            let routes: Vec<_> = routes.collect();
            text += &format!(
                r#"cluster {{
  name: petrel-dev
  listen: "127.0.0.1:{route}"
  routes: {routes:?}
}}
"#
            );
        }
        text + &self.further
    }
}

/// Replaces the whole block of the file that is shipped; only the interval differs.
const RELAXED_JETSTREAM: &str = r#"jetstream {
  store_dir: $PETREL_NATS_STORE
  sync_interval: "2m"
  max_memory_store: 512MB
}
"#;
