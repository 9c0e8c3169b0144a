//! Why a part of a stack did not start.

use std::{io, net::SocketAddr, path::PathBuf, process::ExitStatus, time::Duration};

/// Why something could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This binary cannot play the parts of a stack, and no other is known.
    #[error(
        "no binary to start the parts with: begin main with dev::enter(), or set CARGO_BIN_EXE_dev"
    )]
    NoProgram,
    /// There is no nats-server, and none could be fetched.
    #[error("nats-server: {0}")]
    NoNatsServer(String),
    /// The process could not be made.
    #[error("{name} cannot be started: {error}")]
    Spawn {
        /// Of the part.
        name: String,
        /// From the operating system.
        error: io::Error,
    },
    /// It ended before it was ready.
    #[error("{name} ended before it was ready ({}):\n{output}", describe(*.status))]
    Died {
        /// Of the part.
        name: String,
        /// What it ended with.
        status: Option<ExitStatus>,
        /// The last lines it printed.
        output: String,
    },
    /// It runs, but does not become ready.
    #[error("{name} is not ready after {within:?}:\n{output}")]
    NotReady {
        /// Of the part.
        name: String,
        /// How long it was given.
        within: Duration,
        /// The last lines it printed.
        output: String,
    },
    /// An address is in use.
    #[error("{0} is in use: stop what listens there, or choose another address")]
    AddressInUse(SocketAddr),
    /// An address cannot be listened at.
    #[error("cannot listen at {addr}: {error}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// From the operating system.
        error: io::Error,
    },
    /// Every gateway needs a port of its own.
    #[error("there are not {1} ports from {0} on")]
    PortsExhausted(SocketAddr, usize),
    /// The streams could not be made.
    #[error("the streams cannot be made: {0:#}")]
    Topology(anyhow::Error),
    /// The data folder cannot be used.
    #[error("data folder {}: {reason}", .path.display())]
    Folder {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl StartError {
    /// Whether it died because another process had taken its port, so that
    /// another port may do.
    pub(crate) fn port_taken(&self) -> bool {
        match self {
            Self::AddressInUse(_) => true,
            Self::Died { output, .. } => output.to_lowercase().contains("address already in use"),
            _ => false,
        }
    }

    pub(crate) fn topology(error: impl Into<anyhow::Error>) -> Self {
        Self::Topology(error.into())
    }

    pub(crate) fn folder(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Folder { path: path.into(), reason: reason.to_string() }
    }
}

/// An exit status as text.
pub(crate) fn describe(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "status unknown".to_owned(), |status| status.to_string())
}
