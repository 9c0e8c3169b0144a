//! One child process: in a process group of its own, with its output read line
//! by line, and gone when its handle is dropped.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, BufRead as _, BufReader, PipeReader},
    os::unix::process::CommandExt as _,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::StartError;

/// How many of the last lines are kept to explain a start that failed.
const TAIL_LINES: usize = 40;

/// Receives the name of a child, and every line it prints on stdout or stderr.
pub(crate) type Log = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A running child, or one that has ended. Dropping it kills its whole group.
pub(crate) struct Child {
    name: String,
    pid: Pid,
    unreaped: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
    tail: Arc<Mutex<VecDeque<String>>>,
    waiter: Option<JoinHandle<()>>,
}

/// Resolves with what the child said when it was ready; closed when its output ends.
pub(crate) type Ready<T> = oneshot::Receiver<T>;

impl Child {
    /// Starts `command`. Its first line of which `ready` makes something resolves
    /// the second value; all of its lines go to `log`.
    ///
    /// A thread is kept for each child: the kernel's parent-death signal is sent
    /// when the *thread* that forked ends, and a test's thread ends early.
    pub(crate) fn spawn<T: Send + 'static>(
        name: &str,
        mut command: Command,
        log: Log,
        ready: impl FnMut(&str) -> Option<T> + Send + 'static,
    ) -> io::Result<(Self, Ready<T>)> {
        let (output, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let unreaped = Arc::new(Mutex::new(true));
        let (exit_sender, exit) = watch::channel(None);
        let (spawned_sender, spawned) = mpsc::sync_channel(1);
        let reaper = Arc::clone(&unreaped);
        let waiter = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let child = command.spawn();
            // It holds the pipe's other end, which must close with the child.
            drop(command);
            match child {
                Ok(child) => {
                    drop(spawned_sender.send(Ok(child.id())));
                    exit_sender.send_replace(reap(child, &reaper));
                }
                Err(error) => drop(spawned_sender.send(Err(error))),
            }
        })?;
        let id = spawned.recv().map_err(io::Error::other)??;
        let child = Self {
            name: name.to_owned(),
            pid: to_pid(id).ok_or(io::ErrorKind::InvalidData)?,
            unreaped,
            exit,
            tail: Arc::default(),
            waiter: Some(waiter),
        };
        let (told, listener) = oneshot::channel();
        let (name, tail) = (name.to_owned(), Arc::clone(&child.tail));
        thread::Builder::new()
            .name(format!("{name} output"))
            .spawn(move || read_lines(&name, output, &tail, &log, ready, told))?;
        Ok((child, listener))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What it ended with, if it has.
    pub(crate) fn exit(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits for its end, however it comes. `None`: nobody could find out.
    pub(crate) async fn exited(&self) -> Option<ExitStatus> {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|status| *status)
    }

    /// Sends a signal to the child and to all it may have started.
    pub(crate) fn signal(&self, signal: Signal) {
        // Held while signalling: the child is reaped under the same lock, so
        // the number cannot have become another process's.
        let unreaped = lock(&self.unreaped);
        if *unreaped && let Err(error) = rustix::process::kill_process_group(self.pid, signal) {
            tracing::debug!(child = self.name, pid = self.pid(), %error, "signal not sent");
        }
    }

    /// Asks it to end, and kills it if it has not within `grace`.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.signal(Signal::TERM);
        if timeout(grace, self.exited()).await.is_err() {
            tracing::warn!(child = self.name, ?grace, "did not stop in time, killed");
            self.signal(Signal::KILL);
            self.exited().await;
        }
    }

    /// The last lines it has printed.
    pub(crate) fn output(&self) -> String {
        Vec::from(lock(&self.tail).clone()).join("\n")
    }

    /// Waits for the line that says the child is ready.
    pub(crate) async fn ready<T>(
        &self,
        ready: Ready<T>,
        within: Duration,
    ) -> Result<T, StartError> {
        match timeout(within, ready).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(self.died(self.exited().await)),
            Err(_) => Err(self.not_ready(within)),
        }
    }

    /// The error of a child that has ended.
    pub(crate) fn died(&self, status: Option<ExitStatus>) -> StartError {
        StartError::Died { name: self.name.clone(), status, output: self.output() }
    }

    /// The error of a child that lives but is not of use.
    pub(crate) fn not_ready(&self, within: Duration) -> StartError {
        StartError::NotReady { name: self.name.clone(), within, output: self.output() }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(waiter) = self.waiter.take() {
            // Ends at once: a killed process does.
            drop(waiter.join());
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid())
    }
}

/// Waits for the end of a child without taking its number away, and takes it
/// away only while nobody signals.
fn reap(mut child: std::process::Child, unreaped: &Mutex<bool>) -> Option<ExitStatus> {
    if let Some(pid) = to_pid(child.id()) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let wait = || rustix::process::waitid(WaitId::Pid(pid), options);
        while matches!(wait(), Err(rustix::io::Errno::INTR)) {}
    }
    let mut unreaped = lock(unreaped);
    *unreaped = false;
    child.wait().ok()
}

fn to_pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn read_lines<T>(
    name: &str,
    output: PipeReader,
    tail: &Mutex<VecDeque<String>>,
    log: &Log,
    mut ready: impl FnMut(&str) -> Option<T>,
    told: oneshot::Sender<T>,
) {
    let mut told = Some(told);
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        remember(&line, &mut lock(tail));
        if told.is_some()
            && let Some(value) = ready(&line)
            && let Some(told) = told.take()
        {
            // Nobody listens if the start was given up meanwhile.
            drop(told.send(value));
            continue;
        }
        log(name, &line);
    }
}

fn remember(line: &str, tail: &mut VecDeque<String>) {
    if tail.len() == TAIL_LINES {
        tail.pop_front();
    }
    tail.push_back(line.to_owned());
}

/// No lock here guards anything that a panic could leave half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
