//! Gateways and workers, as processes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Deref,
    process::Command,
    sync::Arc,
};

use nats::NatsOptions;
use store::DirectoryOptions;

use super::Announcement;
use crate::{Program, StartError, child::Log, ports, process::Process};

/// How often other ports are tried when somebody took one first.
const PORT_ATTEMPTS: usize = 5;

/// A [`Process`] that serves clients.
pub struct Gateway {
    process: Process,
    addr: SocketAddr,
    admin_addr: SocketAddr,
}

/// A [`Process`] that carries out what gateways leave to be done.
pub struct Worker {
    process: Process,
    admin_addr: SocketAddr,
}

/// What all gateways and workers of a stack are told.
pub(super) struct Setup {
    pub(super) program: Program,
    pub(super) nats: NatsOptions,
    pub(super) limits: bool,
    pub(super) directory: DirectoryOptions,
    pub(super) env: Vec<(String, String)>,
    pub(super) log: Log,
}

impl Gateway {
    /// Starts the gateway of this index, counted from 0, at `listen`, and waits
    /// until it serves. Port 0 becomes a port that it keeps.
    pub(super) async fn start(
        setup: &Setup,
        index: usize,
        listen: SocketAddr,
    ) -> Result<Self, StartError> {
        let name = format!("gateway-{}", index + 1);
        let limits = if setup.limits { "on" } else { "off" };
        let (process, told) = on_free_ports(&name, Some(listen), |listen, admin| {
            let listen = listen.map(|addr| format!("--listen={addr}"));
            let options = [format!("--name={name}"), format!("--limits={limits}")];
            setup.process("gateway", &name, options.into_iter().chain(listen).collect(), admin)
        })
        .await?;
        Ok(Self { process, addr: told.addr.unwrap_or(listen), admin_addr: told.admin_addr })
    }

    /// Where it serves clients.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where clients make HTTP requests: `http://…` without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where its metrics and probes are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }
}

impl Worker {
    /// Starts the worker of this index, counted from 0, and waits until it works.
    pub(super) async fn start(setup: &Setup, index: usize) -> Result<Self, StartError> {
        let name = format!("worker-{}", index + 1);
        let (process, told) = on_free_ports(&name, None, |_, admin| {
            setup.process("worker", &name, Vec::new(), admin)
        })
        .await?;
        Ok(Self { process, admin_addr: told.admin_addr })
    }

    /// Where its metrics and probes are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }
}

impl Deref for Gateway {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Deref for Worker {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Setup {
    /// A process that plays `role`, given its own options and the common ones.
    fn process(&self, role: &'static str, name: &str, options: Vec<String>, admin: u16) -> Process {
        let Self { program, nats, directory, env, log, .. } = self;
        let (program, env, named) = (program.clone(), env.clone(), name.to_owned());
        let common = [
            format!("--nats={}", nats.nats.join(",")),
            format!("--shards={}", nats.shards),
            format!("--admin-listen={}", SocketAddr::from((Ipv4Addr::LOCALHOST, admin))),
        ];
        // Not as an argument, which everybody on this machine could read. Where
        // there is none, this one's environment is not to name one.
        let mongodb_uri = directory.mongodb_uri.clone().unwrap_or_default();
        let command = move || -> Command {
            let mut command = program.play(role, &named);
            command.env("MONGODB_URI", &mongodb_uri);
            command.args(&options).args(&common);
            command.envs(env.iter().map(|(name, value)| (name, value)));
            command
        };
        Process::new(name.to_owned(), command, Announcement::is, Arc::clone(log))
    }
}

/// Starts the process that `make` makes of an address to serve at (any port
/// stands for a free one) and an admin port, and again with other ports while
/// somebody else takes them first.
async fn on_free_ports(
    name: &str,
    listen: Option<SocketAddr>,
    make: impl Fn(Option<SocketAddr>, u16) -> Process,
) -> Result<(Process, Announcement), StartError> {
    let failed = |error| StartError::Spawn { name: name.to_owned(), error };
    let mut attempt = 1;
    loop {
        let addr = match listen {
            Some(addr) if addr.port() == 0 => {
                Some(SocketAddr::new(addr.ip(), ports::pick().map_err(failed)?))
            }
            asked => asked,
        };
        let process = make(addr, ports::pick().map_err(failed)?);
        match process.start().await {
            Ok(line) => {
                let told = Announcement::parse(&line).map_err(io::Error::from).map_err(failed)?;
                return Ok((process, told));
            }
            Err(error) if error.port_taken() && attempt < PORT_ATTEMPTS => {
                if let Some(asked) = listen.filter(|asked| asked.port() != 0) {
                    check_free(asked)?;
                }
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether an address can be listened at.
pub(super) fn check_free(addr: SocketAddr) -> Result<(), StartError> {
    TcpListener::bind(addr).map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse(addr),
        _ => StartError::Listen { addr, error },
    })
}
