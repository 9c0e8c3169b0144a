//! A process of a stack, which can be killed and started again.

use std::{
    process::{Command, ExitStatus},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::{
    StartError,
    child::{Child, Log, lock},
};

/// From the start of the process to the line that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// From there to good health, where health is asked for.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);
/// There is no event for health, so it is asked this often.
const HEALTH_INTERVAL: Duration = Duration::from_millis(25);
/// For one such question.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// One process of a stack: how it is started, and the child that runs now.
/// It keeps its ports and data over restarts, and is killed with this value.
pub struct Process {
    name: String,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    ready: fn(&str) -> bool,
    health: Option<String>,
    log: Log,
    current: Mutex<Option<Arc<Child>>>,
}

impl Process {
    /// `ready` knows the line that says the process is ready.
    pub(crate) fn new(
        name: String,
        command: impl Fn() -> Command + Send + Sync + 'static,
        ready: fn(&str) -> bool,
        log: Log,
    ) -> Self {
        let command = Box::new(command);
        Self { name, command, ready, health: None, log, current: Mutex::default() }
    }

    /// Being ready is not enough: this page must answer 2xx too.
    pub(crate) fn health(mut self, url: String) -> Self {
        self.health = Some(url);
        self
    }

    /// Unique in its stack.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it again, killing it first if it still runs, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// [`StartError::Spawn`], [`StartError::Died`], [`StartError::NotReady`].
    pub async fn restart(&self) -> Result<(), StartError> {
        self.start().await.map(drop)
    }

    /// As [`Self::restart`]; returns the line that said it is ready.
    pub(crate) async fn start(&self) -> Result<String, StartError> {
        drop(lock(&self.current).take());
        let log = Arc::clone(&self.log);
        let ready = self.ready;
        let ready = move |line: &str| ready(line).then(|| line.to_owned());
        let (child, announced) = Child::spawn(&self.name, (self.command)(), log, ready)
            .map_err(|error| StartError::Spawn { name: self.name.clone(), error })?;
        let child = Arc::new(child);
        *lock(&self.current) = Some(Arc::clone(&child));
        let line = child.ready(announced, READY_WITHIN).await?;
        if let Some(url) = &self.health {
            healthy(&child, url).await?;
        }
        Ok(line)
    }

    /// Its number, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child().filter(|child| child.exit().is_none()).map(|child| child.pid())
    }

    /// Waits for the end of the child that runs now. `None`: it is unknown how it ended.
    pub async fn exited(&self) -> Option<ExitStatus> {
        match self.child() {
            Some(child) => child.exited().await,
            None => None,
        }
    }

    /// SIGKILL, and waits until it is dead.
    pub async fn kill9(&self) {
        if let Some(child) = self.child() {
            child.signal(Signal::KILL);
            child.exited().await;
        }
    }

    /// SIGTERM, and leaves it to end as it likes.
    pub fn terminate(&self) {
        if let Some(child) = self.child() {
            child.signal(Signal::TERM);
        }
    }

    /// SIGTERM, and SIGKILL if that did nothing within `grace`.
    pub async fn stop(&self, grace: Duration) {
        if let Some(child) = self.child() {
            child.stop(grace).await;
        }
    }

    fn child(&self) -> Option<Arc<Child>> {
        lock(&self.current).clone()
    }
}

async fn healthy(child: &Child, url: &str) -> Result<(), StartError> {
    let asking = async {
        let client = reqwest::Client::new();
        loop {
            let answer = client.get(url).timeout(HEALTH_TIMEOUT).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            sleep(HEALTH_INTERVAL).await;
        }
    };
    tokio::select! {
        asked = timeout(HEALTHY_WITHIN, asking) => {
            asked.map_err(|_| child.not_ready(HEALTHY_WITHIN))
        }
        status = child.exited() => Err(child.died(status)),
    }
}
