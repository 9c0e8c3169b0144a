//! One part of a stack: a child that can be killed and started again.

use std::{
    process::{Command, ExitStatus},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    StartError,
    child::{Child, Log, lock},
};

/// How a part is started, and the child that plays it now.
pub(crate) struct Part<T> {
    name: String,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    ready: fn(&str) -> Option<T>,
    ready_within: Duration,
    log: Log,
    current: Mutex<Option<Arc<Child>>>,
}

impl<T: Send + 'static> Part<T> {
    /// `ready` reads the line that says the part is ready, within `ready_within`.
    pub(crate) fn new(
        name: String,
        command: impl Fn() -> Command + Send + Sync + 'static,
        ready: fn(&str) -> Option<T>,
        ready_within: Duration,
        log: Log,
    ) -> Self {
        let command = Box::new(command);
        Self { name, command, ready, ready_within, log, current: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it, killing what may still run, and waits until it is ready.
    pub(crate) async fn start(&self) -> Result<T, StartError> {
        drop(lock(&self.current).take());
        let spawned =
            Child::spawn(&self.name, (self.command)(), Arc::clone(&self.log), self.ready).await;
        let (child, ready) =
            spawned.map_err(|error| StartError::Spawn { name: self.name.clone(), error })?;
        let child = Arc::new(child);
        *lock(&self.current) = Some(Arc::clone(&child));
        child.ready(ready, self.ready_within).await
    }

    pub(crate) fn child(&self) -> Option<Arc<Child>> {
        lock(&self.current).clone()
    }

    /// Of the process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child().filter(|child| child.exit().is_none()).map(|child| child.pid())
    }

    /// Waits for the end of the child that plays it now.
    pub(crate) async fn exited(&self) -> Option<ExitStatus> {
        match self.child() {
            Some(child) => child.exited().await,
            None => None,
        }
    }

    /// SIGKILL, and waits until it is dead.
    pub(crate) async fn kill9(&self) {
        if let Some(child) = self.child() {
            child.signal(Signal::KILL);
            child.exited().await;
        }
    }

    /// SIGTERM, and leaves it to end as it likes.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(child) = self.child() {
            child.signal(signal);
        }
    }

    /// SIGTERM, and SIGKILL if that did nothing within `grace`.
    pub(crate) async fn stop(&self, grace: Duration) {
        if let Some(child) = self.child() {
            child.stop(grace).await;
        }
    }
}
