//! `cargo dev`, run as a person would.

use std::{
    collections::HashMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::{sleep, timeout},
};

/// For a whole stack to start, in an unoptimised build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const ANY_PORT: &str = "127.0.0.1:0";

#[tokio::test]
async fn says_ready_once_per_gateway_restarts_what_dies_and_stops_cleanly() {
    let mut dev = Dev::start(&["--listen", ANY_PORT, "--gateways", "2"]);
    let gateways = [dev.ready().await, dev.ready().await];
    assert_ne!(gateways[0], gateways[1]);
    for gateway in &gateways {
        assert_eq!(get(&format!("{gateway}/healthz")).await, Some(200), "{gateway}");
    }

    let children = dev.children();
    // Two gateways, a worker, a nats-server.
    assert_eq!(children.len(), 4, "{children:?}");
    kill(find(&children, "petrel-gateway-1"), Signal::KILL);
    dev.says("gateway-1 died (signal: 9").await;
    dev.says("gateway-1 is back").await;
    for gateway in &gateways {
        assert_eq!(get(&format!("{gateway}/healthz")).await, Some(200), "{gateway}");
    }

    let children = dev.children();
    dev.signal(Signal::INT);
    let (status, rest) = dev.end().await;
    assert!(status.success(), "{status}");
    assert_eq!(rest, Vec::<String>::new(), "a gateway is said to be ready once");
    assert_none_runs(&children).await;
}

#[tokio::test]
async fn killed_it_leaves_no_child_behind() {
    let mut dev = Dev::start(&["--listen", ANY_PORT]);
    dev.ready().await;
    let children = dev.children();
    assert_eq!(children.len(), 3, "{children:?}");

    dev.signal(Signal::KILL);
    dev.end().await;

    assert_none_runs(&children).await;
}

#[tokio::test]
async fn a_second_signal_kills_what_does_not_stop() {
    let mut dev = Dev::start(&["--listen", ANY_PORT]);
    dev.ready().await;
    let children = dev.children();
    kill(find(&children, "petrel-gateway-1"), Signal::STOP);

    dev.signal(Signal::TERM);
    dev.says("stopping").await;
    dev.signal(Signal::INT);
    dev.says("killed").await;

    assert!(dev.end().await.0.success());
    assert_none_runs(&children).await;
}

#[tokio::test]
async fn three_nodes_are_a_cluster() {
    let mut dev = Dev::start(&["--listen", ANY_PORT, "--nats-nodes", "3", "--limits", "off"]);
    let gateway = dev.ready().await;
    assert_eq!(get(&format!("{gateway}/readyz")).await, Some(200));
    for node in 1..=3 {
        find(&dev.children(), &format!("nats-{node}/server.conf"));
    }
    dev.signal(Signal::TERM);
    assert!(dev.end().await.0.success());
}

#[tokio::test]
async fn it_says_where_users_and_groups_are() {
    Dev::start(&["--listen", ANY_PORT]).says("users and groups are in NATS").await;
    // Nobody is there: it waits for one.
    let mut command = Dev::command(&["--listen", ANY_PORT]);
    let mut dev = Dev::spawn(command.env("MONGODB_URI", "mongodb://127.0.0.1:1"));
    dev.says("users and groups are in MongoDB").await;
}

#[tokio::test]
async fn data_and_tokens_are_kept_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--listen", ANY_PORT, "--data", data.path().to_str().unwrap()];
    let account = json!({"username": "alice", "password": "p", "name": "Alice"});

    let mut dev = Dev::start(&arguments);
    let gateway = dev.ready().await;
    let (status, tokens) = post(&format!("{gateway}/v1/register"), &account).await;
    assert_eq!(status, 201, "{tokens}");
    dev.signal(Signal::INT);
    assert!(dev.end().await.0.success());

    let mut dev = Dev::start(&arguments);
    let gateway = dev.ready().await;
    let (status, again) = post(&format!("{gateway}/v1/login"), &account).await;
    assert_eq!(status, 200, "{again}");
    assert_eq!(again["user"], tokens["user"]);
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    let (status, renewed) = post(&format!("{gateway}/v1/token"), &refresh).await;
    assert_eq!(status, 200, "{renewed}");

    // Two at once would write over each other.
    let other = Dev::start(&arguments);
    let (status, said) = other.fails().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("in use by another stack"), "{said}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_clearly() {
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (status, said) = Dev::start(&["--listen", &addr]).fails().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(&format!("{addr} is in use")), "{said}");
}

#[tokio::test]
async fn usage_errors_exit_64_and_help_0() {
    for wrong in [
        &["--no-such-flag"][..],
        &["--nats-nodes", "2"],
        &["--gateways", "0"],
        &["--listen", "nowhere"],
        &["--limits", "some"],
        &["--mongodb-uri", "http://mongo"],
    ] {
        let (status, said) = Dev::start(wrong).fails().await;
        assert_eq!(status.code(), Some(64), "{wrong:?}: {said}");
        assert!(said.contains(wrong[0]), "{said}");
    }
    assert!(Dev::start(&["--help"]).end().await.0.success());
}

#[tokio::test]
async fn an_old_nats_server_on_path_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("nats-server");
    fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.9.10'\n").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());

    let mut command = Dev::command(&["--listen", ANY_PORT]);
    let mut dev = Dev::spawn(command.env("PATH", path));

    dev.says(&format!("{} is not used: its version is 2.9", old.display())).await;
    dev.ready().await;
}

/// The dev binary at work; killed when dropped.
struct Dev {
    process: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
}

impl Dev {
    fn start(arguments: &[&str]) -> Self {
        Self::spawn(&mut Self::command(arguments))
    }

    fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
        command
            .args(arguments)
            .env("RUST_LOG", "info")
            .env("PETREL_ARGON2_MEMORY_KIB", "8")
            .env("PETREL_ARGON2_PASSES", "1")
            .env_remove("MONGODB_URI");
        command
    }

    fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.kill_on_drop(true).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, stdout, stderr, said: Vec::new() }
    }

    fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// The address in the next ready line.
    async fn ready(&mut self) -> String {
        // What it says meanwhile has to be read, or it would wait for us.
        let line = async {
            loop {
                tokio::select! {
                    line = self.stdout.next_line() => return line.unwrap(),
                    Ok(Some(line)) = self.stderr.next_line() => self.said.push(line),
                }
            }
        };
        let line = timeout(PATIENCE, line).await.ok().flatten();
        let Some(line) = line else { panic!("not ready:\n{}", self.said.join("\n")) };
        let Some(url) = line.strip_prefix("petrel ready ") else { panic!("said {line:?}") };
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        url.to_owned()
    }

    /// Waits until it says something on stderr.
    async fn says(&mut self, text: &str) {
        while !self.said.iter().any(|line| line.contains(text)) {
            match timeout(PATIENCE, self.stderr.next_line()).await {
                Ok(Ok(Some(line))) => self.said.push(line),
                _ => panic!("does not say {text:?} but\n{}", self.said.join("\n")),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Waits for its end: its status, and what was left on stdout.
    async fn end(mut self) -> (ExitStatus, Vec<String>) {
        let ending = async {
            let (rest, more) = tokio::join!(all(&mut self.stdout), all(&mut self.stderr));
            self.said.extend(more);
            (self.process.wait().await.unwrap(), rest)
        };
        let ended = timeout(PATIENCE, ending).await;
        ended.unwrap_or_else(|_| panic!("does not end:\n{}", self.said.join("\n")))
    }

    /// Waits for its end: its status, and all it said.
    async fn fails(mut self) -> (ExitStatus, String) {
        let ending = async {
            let said = all(&mut self.stderr).await.join("\n");
            (self.process.wait().await.unwrap(), said)
        };
        timeout(PATIENCE, ending).await.unwrap()
    }

    /// The processes it has started, with their command lines.
    fn children(&self) -> HashMap<u32, String> {
        let mut children = HashMap::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let Ok(pid) = entry.unwrap().file_name().to_string_lossy().parse() else { continue };
            let Some((_, parent)) = state_and_parent(pid) else { continue };
            if parent == self.pid() {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
                children.insert(pid, String::from_utf8_lossy(&line).into_owned());
            }
        }
        children
    }
}

fn find(children: &HashMap<u32, String>, name: &str) -> u32 {
    let found = children.iter().find(|(_, line)| line.contains(name));
    *found.unwrap_or_else(|| panic!("no {name} in {children:?}")).0
}

async fn all<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        all.push(line);
    }
    all
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// As `/proc` tells; `None` if there is no such process.
fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// One that has ended but that nobody has asked about yet does not run.
fn runs(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

async fn assert_none_runs(processes: &HashMap<u32, String>) {
    // No event tells about processes that are nobody's children any more.
    let gone = async {
        while processes.keys().any(|pid| runs(*pid)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let gone = timeout(Duration::from_secs(10), gone).await;
    assert!(gone.is_ok(), "of {processes:?} some still run");
}

async fn get(url: &str) -> Option<u16> {
    reqwest::get(url).await.ok().map(|answer| answer.status().as_u16())
}

async fn post(url: &str, body: &Value) -> (u16, Value) {
    let answer = reqwest::Client::new().post(url).json(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}
