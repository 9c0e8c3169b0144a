//! The configuration file of one node.

use std::{fmt::Write as _, path::Path};

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

/// What distinguishes one node.
#[derive(Debug)]
pub(super) struct Config {
    /// The same over restarts: a cluster knows its members by name.
    pub(super) name: String,
    pub(super) ports: NodePorts,
    /// The route ports of all nodes, its own included; empty for a single node.
    pub(super) routes: Vec<u16>,
    pub(super) sync: SyncMode,
}

impl Config {
    /// The file's text; streams are kept in `folder`.
    pub(super) fn render(&self, folder: &Path) -> String {
        let NodePorts { client, monitor, route } = self.ports;
        let store = folder.join("jetstream");
        let sync = match self.sync {
            SyncMode::Default => "2m",
            SyncMode::Always => "always",
        };
        let mut text = format!(
            "server_name: {name:?}\n\
             listen: \"127.0.0.1:{client}\"\n\
             http: \"127.0.0.1:{monitor}\"\n\
             jetstream {{\n  store_dir: {store:?}\n  sync_interval: {sync}\n}}\n",
            name = self.name,
        );
        if !self.routes.is_empty() {
            let _ = writeln!(
                text,
                "cluster {{\n  name: petrel-dev\n  listen: \"127.0.0.1:{route}\"\n  routes: {:?}\n}}",
                self.routes
                    .iter()
                    .map(|port| format!("nats://127.0.0.1:{port}"))
                    .collect::<Vec<_>>(),
            );
        }
        text
    }
}
