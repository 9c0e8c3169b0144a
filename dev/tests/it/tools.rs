//! The terminal chat and the load generator, run as a person would.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::support::{shared_stack, stack};

/// For one line, in an unoptimised build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A name that nobody else has.
fn name(who: &str) -> String {
    format!("{who}-{:08x}", rand::random::<u32>())
}

/// A chat in a pipe.
struct Chat {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Chat {
    fn start(user: &str, password: Option<&str>, url: &str, folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_petrel-chat"));
        command.args(["--user", user, "--url", url]).env("XDG_CONFIG_HOME", folder);
        command.env_remove("PETREL_PASSWORD");
        if let Some(password) = password {
            command.args(["--password", password]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output).lines() }
    }

    async fn enter(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Waits for a line; those before it.
    async fn says(&mut self, expected: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let line = timeout(PATIENCE, self.output.next_line()).await;
            let Ok(line) = line else { panic!("{expected:?} does not come after {before:#?}") };
            match line.unwrap() {
                Some(line) if line == expected => return before,
                Some(line) => before.push(line),
                None => panic!("ended without {expected:?}, after {before:#?}"),
            }
        }
    }

    /// Ends the input; the lines until it has ended.
    async fn end(mut self) -> Vec<String> {
        drop(self.input);
        let mut lines = Vec::new();
        while let Some(line) = timeout(PATIENCE, self.output.next_line()).await.unwrap().unwrap() {
            lines.push(line);
        }
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status} after {lines:#?}");
        lines
    }
}

#[tokio::test]
async fn two_chat_in_pipes_and_the_device_is_remembered() {
    let urls: Vec<String> = shared_stack().await.gateways().iter().map(|it| it.url()).collect();
    let (alice, bob) = (name("alice"), name("bob"));
    let folder = TempDir::new().unwrap();

    let mut a = Chat::start(&alice, Some("password"), &urls[0], folder.path());
    a.says("* connected").await;
    let mut b = Chat::start(&bob, Some("password"), &urls[1], folder.path());
    b.enter(&format!("/to {alice}")).await;
    b.says(&format!("* talking to {alice}")).await;
    b.enter("hello \u{1b}[2J 日本語").await;
    b.says("✓ hello \u{fffd}[2J 日本語").await;
    a.says(&format!("{bob}: hello \u{fffd}[2J 日本語")).await;
    b.says("✓✓ read hello \u{fffd}[2J 日本語").await;
    // It talks to the first who says something.
    a.enter("hello yourself").await;
    b.says(&format!("{alice}: hello yourself")).await;
    a.says("✓✓ read hello yourself").await;
    a.end().await;

    b.enter("are you there?").await;
    b.says("✓ are you there?").await;
    let mut a = Chat::start(&alice, None, &urls[0], folder.path());
    let before = a.says(&format!("{bob}: are you there?")).await;
    assert_eq!(before, ["* connected"], "what was acknowledged does not come again");
    b.says("✓✓ read are you there?").await;
    b.end().await;
}

#[tokio::test]
async fn a_group_in_pipes() {
    let urls: Vec<String> = shared_stack().await.gateways().iter().map(|it| it.url()).collect();
    let (alice, bob, carol) = (name("alice"), name("bob"), name("carol"));
    let folder = TempDir::new().unwrap();
    let mut a = Chat::start(&alice, Some("password"), &urls[0], folder.path());
    let mut b = Chat::start(&bob, Some("password"), &urls[1], folder.path());
    let mut c = Chat::start(&carol, Some("password"), &urls[0], folder.path());
    for chat in [&mut a, &mut b, &mut c] {
        chat.says("* connected").await;
    }

    a.enter("/group late shift").await;
    a.says("* talking in #late shift").await;
    for who in [&bob, &carol] {
        a.enter(&format!("/add {who}")).await;
        a.says(&format!("* #late shift: {alice} added {who}")).await;
    }
    b.says(&format!("* #late shift: {alice} added {bob}")).await;
    b.says(&format!("* #late shift: {alice} added {carol}")).await;
    c.says(&format!("* #late shift: {alice} added {carol}")).await;

    // They talk where the first thing happened.
    b.enter("hello, all").await;
    a.says(&format!("{bob} in #late shift: hello, all")).await;
    c.says(&format!("{bob} in #late shift: hello, all")).await;
    b.says("✓✓ read hello, all").await;

    b.enter("/rename x").await;
    c.says(&format!("* #x: {bob} named it x")).await;
    b.enter(&format!("/remove {carol}")).await;
    b.says("* the group is not changed: forbidden (403): only admins add, remove and promote")
        .await;
    a.enter("/members").await;
    a.says(&format!("* in x: {alice}, {bob}, {carol}")).await;
    a.enter(&format!("/remove {carol}")).await;
    c.says(&format!("* #x: {alice} removed {carol}")).await;
    c.enter("am I still here?").await;
    c.says("* not sent (you are not in that group): am I still here?").await;
    c.enter("/groups").await;
    c.says("* you are in no group: /group NAME makes one").await;
    a.enter("/leave").await;
    b.says(&format!("* #x: {bob} is an admin now")).await;
    b.enter("/to #x").await;
    b.says("* talking in #x").await;
    for chat in [a, b, c] {
        chat.end().await;
    }
}

#[tokio::test]
async fn what_is_written_while_the_gateway_is_away_arrives_once() {
    let stack = stack().start().await.unwrap();
    let gateway = &stack.gateways()[0];
    let folder = TempDir::new().unwrap();
    let mut a = Chat::start("alice", Some("password"), &gateway.url(), folder.path());
    let mut b = Chat::start("bob", Some("password"), &gateway.url(), folder.path());
    a.says("* connected").await;
    b.says("* connected").await;
    b.enter("/to alice").await;
    b.says("* talking to alice").await;

    gateway.kill9().await;
    b.says("* connection lost, reconnecting").await;
    b.enter("one").await;
    b.enter("two").await;
    // The end of the input does not lose what waits: it is sent, or kept.
    let (rest, restarted) = tokio::join!(b.end(), gateway.restart());
    restarted.unwrap();
    let kept = rest.iter().any(|line| line.contains("kept for the next time"));
    if kept {
        Chat::start("bob", None, &gateway.url(), folder.path()).end().await;
    }
    a.says("bob: one").await;
    assert_eq!(a.says("bob: two").await, [""; 0], "once, and in order");
    assert_eq!(a.end().await, [""; 0]);
}

#[tokio::test]
async fn a_load_of_traffic_is_measured_and_checked() {
    let stack = shared_stack().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_petrel-load"));
    command.args(["traffic", "--json", "--connections", "6", "--rate", "60"]);
    command.args(["--duration", "2", "--warm-up", "0"]);
    for gateway in stack.gateways() {
        command.args(["--target", &gateway.url()]);
    }
    let nats = stack.pids().nats[0];
    command.args(["--pids", &format!("nats={nats}")]);
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["environment"]["sync"], "unknown", "{report}");
    let traffic = &report["traffic"];
    assert_eq!(traffic["messages"], 120, "{report}");
    for what in ["sent_to_tick", "sent_to_received", "sent_to_delivered", "generator_late"] {
        assert_eq!(traffic[what]["count"], 120, "{what}: {report}");
        assert!(traffic[what]["p50_ms"].as_f64() <= traffic[what]["max_ms"].as_f64());
    }
    assert!(is_well(&traffic["faults"]), "{report}");
}

#[tokio::test]
async fn a_load_of_presence_is_measured_and_checked() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_petrel-load"));
    command.args(["presence", "--json", "--connections", "40", "--changes", "4", "--hold", "1"]);
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["presence"]["change_to_watcher"]["count"], 4, "{report}");
    // Of each part alone it may be less than the kernel counts.
    assert!(report["presence"]["connecting"]["total"].as_f64() > Some(0.0), "{report}");
}

#[tokio::test]
async fn a_load_of_groups_is_measured_and_checked() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_petrel-load"));
    command.args(["groups", "--json", "--groups", "2", "--size", "4", "--slow", "1"]);
    command.args(["--rate", "40", "--duration", "2", "--warm-up", "0"]);
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["environment"]["gateways"], 2, "{report}");
    let groups = &report["groups"];
    assert_eq!((&groups["people"], &groups["speakers"]), (&json!(7), &json!(3)), "{report}");
    for phase in [&groups["quickly"], &groups["slowly"]] {
        assert_eq!(phase["messages"], 80, "{report}");
        for what in ["sent_to_tick", "sent_to_last_received", "sent_to_all_delivered"] {
            assert_eq!(phase[what]["count"], 80, "{what}: {report}");
        }
        assert_eq!(phase["sent_to_received"]["count"], 160, "two of three are quick: {report}");
        // A message is written once for each who gets it, and its watermark at most.
        let writes = |what: &str| phase["amplification"][what].as_f64().unwrap();
        assert_eq!(writes("inboxes").to_string(), "1", "{report}");
        assert!(writes("watermarks") > 0.0 && writes("watermarks") <= 1.0, "{report}");
    }
    assert!(is_well(&groups["faults"]), "{report}");
}

#[tokio::test]
async fn a_load_of_media_is_measured_and_every_byte_checked() {
    for (more, piece) in
        [(&[][..], Value::Null), (&["--resumable", "--piece=70001"], 70_001.into())]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_petrel-load"));
        command.args(["media", "--json", "--people", "3", "--files", "2", "--size", "200003"]);
        let output = command.args(more).kill_on_drop(true).output();
        let output = timeout(PATIENCE, output).await.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");

        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let media = &report["media"];
        assert_eq!(media["piece"], piece, "{report}");
        for what in ["upload", "answered_to_ready", "download"] {
            assert_eq!(media[what]["count"], 6, "{what}: {report}");
        }
        for way in [&media["up"], &media["down"]] {
            assert!(way["mib_per_second"].as_f64() > Some(0.0), "{report}");
            assert!(way["of_raw"].as_f64() > Some(0.0), "{report}");
        }
        assert!(media["most_up"]["gateways"].as_u64() > Some(0), "{report}");
        assert!(is_well(&media["faults"]), "{report}");
    }
}

#[tokio::test]
async fn a_load_of_push_is_measured_and_checked() {
    let load = async |arguments: &str| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_petrel-load"));
        command.args(["push", "--json"]).args(arguments.split(' '));
        let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
        let output = output.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (planned, flat_out, connected) = tokio::join!(
        load("--people 7 --senders 2 --rate 50"),
        load("--people 7 --senders 2 --flat-out"),
        load("--people 4 --connected --rate 40 --duration 2"),
    );
    for report in [&planned, &flat_out] {
        let away = &report["push"]["away"];
        assert_eq!(away["pushes"], 7, "{report}");
        for what in ["sent_to_tick", "sent_to_pushed", "tick_to_pushed", "generator_late"] {
            assert_eq!(away[what]["count"], 7, "{what}: {report}");
        }
        assert!(is_well(&away["faults"]), "{report}");
    }
    let grace = &connected["push"]["connected"];
    assert_eq!(grace["pushes"], 0, "{connected}");
    for phase in [&grace["without"], &grace["with"]] {
        assert_eq!(phase["sent_to_delivered"]["count"], 80, "{connected}");
        assert!(is_well(&phase["faults"]), "{connected}");
    }
}

/// Whether nothing is counted there.
fn is_well(faults: &Value) -> bool {
    faults.as_object().unwrap().values().all(|fault| *fault == 0 || *fault == json!({}))
}

#[tokio::test]
async fn a_load_that_makes_no_sense_is_not_begun() {
    for impossible in [
        "groups --size 3 --slow 2",
        "groups --size 9 --people 8",
        "push --connected --duration 300",
        "push --target http://127.0.0.1:1",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_petrel-load"));
        let output = timeout(PATIENCE, command.args(impossible.split(' ')).output()).await;
        assert_eq!(output.unwrap().unwrap().status.code(), Some(64), "{impossible}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_not_its_own_is_not_killed() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_petrel-load"));
    command.args(["reconnect", "--target", "http://127.0.0.1:1"]);
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("its own stack"), "{output:?}");
}
