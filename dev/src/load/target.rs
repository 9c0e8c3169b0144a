//! What is measured: a stack of one's own, or a Petrel that runs already.

use std::{ops::Sub, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{
    options::{Role, RolePid, TargetOptions},
    process::{self, Usage},
    progress,
};
use crate::{Stack, client::Api};

/// Passwords are not what is measured: the cheapest hash that there is.
const CHEAP_HASH: [(&str, &str); 2] =
    [("PETREL_ARGON2_MEMORY_KIB", "8"), ("PETREL_ARGON2_PASSES", "1")];

/// How often it is looked how much memory is held.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A Petrel under load.
pub(super) struct Target {
    gateways: Vec<Api>,
    stack: Option<Stack>,
    pids: Vec<RolePid>,
    options: TargetOptions,
}

/// Resident memory in bytes, of all processes of a kind together.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Held {
    /// Gateways.
    pub(super) gateways: u64,
    /// Workers.
    pub(super) workers: u64,
}

/// What uses the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Cpu {
    /// All gateways.
    pub(super) gateways: f64,
    /// All workers.
    pub(super) workers: f64,
    /// All nats-servers.
    pub(super) nats: f64,
    /// The three above.
    pub(super) total: f64,
    /// The load generator.
    pub(super) generator: f64,
    /// Everything else on the machine: what it takes is missing above.
    pub(super) others: f64,
}

/// What the run ran on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Environment {
    /// Of the load generator, and of the gateways and workers of its own stack.
    pub(super) petrel: &'static str,
    /// Of the nats-servers.
    pub(super) nats_server: Option<String>,
    /// When they write to the disk: `default` (every 2 minutes), `always`, or
    /// unknown of a Petrel that was given.
    pub(super) sync: &'static str,
    /// How many gateways.
    pub(super) gateways: usize,
    /// How many workers.
    pub(super) workers: Option<usize>,
    /// How many nats-servers.
    pub(super) nats_nodes: Option<usize>,
    /// Whether this is an optimised build.
    pub(super) optimised: bool,
    /// Cores that all of it shares.
    pub(super) cores: usize,
    /// The kernel's version.
    pub(super) kernel: String,
}

impl Target {
    /// Connects to the given one, or starts a stack whose processes are told
    /// these variables.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn prepare(
        options: &TargetOptions,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let mut target = Self {
            gateways: Vec::new(),
            stack: None,
            pids: options.pids.clone(),
            options: options.clone(),
        };
        let mut urls = options.target.clone();
        if urls.is_empty() {
            let stack = start(options, settings).await?;
            urls = stack.gateways().iter().map(|gateway| gateway.url()).collect();
            target.stack = Some(stack);
        }
        let first = Api::new(&urls[0])?;
        target.gateways = urls.iter().map(|url| first.at(url)).collect::<Result<_, _>>()?;
        Ok(target)
    }

    /// The gateways.
    pub(super) fn gateways(&self) -> &[Api] {
        &self.gateways
    }

    /// The gateway of person `n`: neighbours are on different ones.
    pub(super) fn gateway(&self, n: usize) -> &Api {
        &self.gateways[n % self.gateways.len()]
    }

    /// The stack, if it is the run's own.
    pub(super) fn stack(&self) -> Option<&Stack> {
        self.stack.as_ref()
    }

    /// CPU seconds so far.
    ///
    /// # Errors
    /// Where there is no /proc.
    pub(super) fn cpu(&self) -> anyhow::Result<Cpu> {
        let of = |role| self.usage(role).cpu_secs;
        let (gateways, workers, nats) = (of(Role::Gateway), of(Role::Worker), of(Role::Nats));
        let generator = Usage::own().context("cannot account for CPU time")?.cpu_secs;
        let total = gateways + workers + nats;
        let machine = process::machine_cpu_secs().context("cannot account for CPU time")?;
        let others = machine - total - generator;
        Ok(Cpu { gateways, workers, nats, total, generator, others })
    }

    /// What all processes of this role use now.
    pub(super) fn usage(&self, role: Role) -> Usage {
        let own = self.stack.as_ref().map(Stack::pids).unwrap_or_default();
        let mut pids = match role {
            Role::Gateway => own.gateways,
            Role::Worker => own.workers,
            Role::Nats => own.nats,
        };
        pids.extend(self.pids.iter().filter(|it| it.role == role).map(|it| it.pid));
        Usage::sum(&pids)
    }

    /// What they hold in memory now.
    pub(super) fn held(&self) -> Held {
        Held { gateways: self.usage(Role::Gateway).rss, workers: self.usage(Role::Worker).rss }
    }

    /// Does something, and looks meanwhile what they hold at most.
    pub(super) async fn most_held<T>(&self, work: impl Future<Output = T>) -> (T, Held) {
        let mut work = std::pin::pin!(work);
        let mut most = self.held();
        loop {
            match tokio::time::timeout(LOOK_EVERY, &mut work).await {
                Ok(done) => return (done, most.most(self.held())),
                Err(_) => most = most.most(self.held()),
            }
        }
    }

    /// What the run runs on.
    pub(super) async fn environment(&self) -> Environment {
        let sync = match (&self.stack, self.options.sync) {
            (None, _) => "unknown",
            (_, super::options::Sync::Default) => "default",
            (_, super::options::Sync::Always) => "always",
        };
        Environment {
            petrel: env!("CARGO_PKG_VERSION"),
            nats_server: self.nats_version().await,
            sync,
            gateways: self.gateways.len(),
            workers: self.stack.as_ref().map(|stack| stack.workers().len()),
            nats_nodes: self.stack.as_ref().map(|stack| stack.nats().nodes().len()),
            optimised: !cfg!(debug_assertions),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }

    /// Ends the stack, if it is the run's own.
    pub(super) async fn stop(self) {
        if let Some(stack) = &self.stack {
            let spinner = progress::spinner("stopping");
            stack.stop().await;
            spinner.finish_and_clear();
        }
    }

    async fn nats_version(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Varz {
            version: String,
        }
        let node = self.stack.as_ref()?.nats().nodes().first()?;
        let monitor = Api::new(&node.monitor_url()).ok()?;
        let varz: Varz =
            monitor.call(reqwest::Method::GET, "varz", None, None::<&()>).await.ok()?;
        Some(varz.version)
    }
}

async fn start(options: &TargetOptions, settings: &[(&str, String)]) -> anyhow::Result<Stack> {
    let spinner = progress::spinner("starting");
    let mut stack = Stack::builder()
        .gateways(options.gateways.into())
        .workers(options.workers.into())
        .nats_nodes(options.nats_nodes.into())
        .sync(options.sync.into())
        .limits(false)
        .progress(spinner.clone());
    if options.verbose {
        stack = stack.log_to_stderr();
    }
    for (name, value) in CHEAP_HASH {
        stack = stack.env(name, value);
    }
    for (name, value) in settings {
        stack = stack.env(*name, value);
    }
    let stack = stack.start().await.context("cannot start a stack");
    spinner.finish_and_clear();
    stack
}

impl Held {
    fn most(self, other: Self) -> Self {
        Self {
            gateways: self.gateways.max(other.gateways),
            workers: self.workers.max(other.workers),
        }
    }
}

impl Cpu {
    /// Per one of this many.
    pub(super) fn per(self, count: f64) -> Self {
        self.map(|cpu_secs| cpu_secs / count)
    }

    /// Per 1,000 of these many.
    pub(super) fn per_thousand(self, count: u64) -> Self {
        self.map(|cpu_secs| process::per_thousand(cpu_secs, count))
    }

    fn map(self, per: impl Fn(f64) -> f64) -> Self {
        Self {
            gateways: per(self.gateways),
            workers: per(self.workers),
            nats: per(self.nats),
            total: per(self.total),
            generator: per(self.generator),
            others: per(self.others),
        }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            gateways: self.gateways - other.gateways,
            workers: self.workers - other.workers,
            nats: self.nats - other.nats,
            total: self.total - other.total,
            generator: self.generator - other.generator,
            others: self.others - other.others,
        }
    }
}
