//! What tests share: a nats-server and a stack that nobody kills, a worker of one's
//! own, and how they wait.

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use clap::Parser as _;
use dev::{NatsServer, Process, Stack, StackBuilder, SyncMode};
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use nats::subject::Shards;
use serde_json::Value;
use tokio::{
    sync::OnceCell,
    time::{sleep, timeout},
};

/// Longer than anything that is waited for here may take, failovers included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked again where nobody tells.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A nats-server for all tests of this process, without streams; it dies with
/// the process. Do not kill it: start one of your own for that.
pub(crate) async fn shared_nats() -> &'static NatsServer {
    static SHARED: OnceCell<NatsServer> = OnceCell::const_new();
    SHARED.get_or_init(async || NatsServer::start(SyncMode::Default).await.unwrap()).await
}

/// What signs the tokens of all stacks here.
const SIGNING_KEY: [u8; 32] = *b"for these tests and nothing else";

/// A stack of two gateways without limits and a worker for all tests of this
/// process; it dies with the process. Do not kill any of it: start one of your own for that.
pub(crate) async fn shared_stack() -> &'static Stack {
    static SHARED: OnceCell<Stack> = OnceCell::const_new();
    SHARED.get_or_init(async || stack().gateways(2).limits(false).start().await.unwrap()).await
}

/// How to start a stack of one's own, with password hashes that cost little.
/// With `PETREL_TEST_LOGS` set it says on stderr what it does.
pub(crate) fn stack() -> StackBuilder {
    let stack = Stack::builder()
        .env("PETREL_ARGON2_MEMORY_KIB", "8")
        .env("PETREL_ARGON2_PASSES", "1")
        .env("PETREL_DRAIN_SECS", "1")
        .env("PETREL_PRESENCE_GRACE_SECS", "1")
        .env("PETREL_SIGNING_KEY", STANDARD.encode(SIGNING_KEY));
    if std::env::var_os("PETREL_TEST_LOGS").is_some() { stack.log_to_stderr() } else { stack }
}

/// What a process keeps in memory, in KiB.
pub(crate) fn memory_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid().unwrap()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// The same token with other claims, and a signature that is good.
pub(crate) fn resign(token: &str, change: impl FnOnce(&mut Value)) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let mut claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    change(&mut claims);
    sign(&claims, &SIGNING_KEY)
}

/// A token with these claims under any key.
pub(crate) fn sign(claims: &Value, key: &[u8]) -> String {
    let (header, key) = (Header::new(Algorithm::HS256), EncodingKey::from_secret(key));
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

/// A worker in this process, for as many shards, with these flags more. Its directory
/// is the embedded one, whatever the environment names. Dropped, it is dead.
pub(crate) async fn worker(
    server: &NatsServer,
    shards: Shards,
    flags: impl IntoIterator<Item = &str>,
) -> workers::Running {
    let (url, shards) = (server.url(), shards.count().to_string());
    let common = ["workers", "--nats", &url, "--shards", &shards, "--mongodb-uri="];
    let flags = common.into_iter().map(str::to_owned).chain(flags.into_iter().map(str::to_owned));
    workers::start(workers::Config::try_parse_from(flags).unwrap()).await.unwrap()
}

/// The flag that sets the same as this variable; a switch is on where it is `true`.
pub(crate) fn flag(variable: &str, value: &str) -> String {
    let name = variable.trim_start_matches("PETREL_").to_lowercase().replace('_', "-");
    if value == "true" { format!("--{name}") } else { format!("--{name}={value}") }
}

/// Shows something that depends on clocks. Where it failed while this machine
/// stood still, as one does now and then whose cores are shared, that says
/// nothing, and it is shown again.
pub(crate) async fn undisturbed(show: impl AsyncFn()) {
    const TRIES: usize = 10;
    for _ in 1..TRIES {
        let before = still_stands();
        match AssertUnwindSafe(show()).catch_unwind().await {
            Ok(()) => return,
            Err(panic) if still_stands() == before => resume_unwind(panic),
            Err(_) => eprintln!("the machine stood still meanwhile: once more"),
        }
    }
    show().await;
}

/// How often this process did not run for a while although it wanted to.
fn still_stands() -> u64 {
    const TICK: Duration = Duration::from_millis(10);
    const STILL: Duration = Duration::from_millis(500);
    static COUNT: LazyLock<&AtomicU64> = LazyLock::new(|| {
        let count: &AtomicU64 = Box::leak(Box::default());
        thread::spawn(|| {
            loop {
                let began = Instant::now();
                thread::sleep(TICK);
                if began.elapsed() > STILL {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        count
    });
    COUNT.load(Ordering::Relaxed)
}

/// Waits until something holds that has to be asked for.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool, what: impl Display) {
    until_some(async || holds().await.then_some(()), what).await;
}

/// Waits until there is something that has to be asked for.
pub(crate) async fn until_some<T>(
    mut find: impl AsyncFnMut() -> Option<T>,
    what: impl Display,
) -> T {
    let found = async {
        loop {
            if let Some(found) = find().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}
