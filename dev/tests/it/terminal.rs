//! The terminal chat on a terminal, which is a pseudoterminal here.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    process::Stdio,
    thread,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use schemas::{ChatId, UserId, server::Frame};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use crate::{
    people::{FIRST, PASSWORD, PATIENCE, Person, SECOND},
    support::shared_stack,
};

/// What a person has in front of them.
struct Terminal {
    chat: Child,
    keys: File,
    drawn: mpsc::UnboundedReceiver<String>,
    /// All that was drawn since something was last waited for.
    screen: String,
}

impl Terminal {
    /// A new terminal in which `user` chats with `to`.
    async fn start(user: &str, to: &str, folder: &TempDir) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keys, size).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap().into_string().unwrap();
        let inside = OpenOptions::new().read(true).write(true).open(name).unwrap();

        let url = shared_stack().await.gateways()[FIRST].url();
        let mut chat = Command::new(env!("CARGO_BIN_EXE_petrel-chat"));
        chat.args(["--user", user, "--password", PASSWORD, "--to", to, "--url", &url]);
        chat.env("XDG_CONFIG_HOME", folder.path()).kill_on_drop(true);
        chat.stdin(inside.try_clone().unwrap()).stdout(inside).stderr(Stdio::inherit());
        let chat = chat.spawn().unwrap();
        let keys = File::from(keys);
        let drawn = read(keys.try_clone().unwrap());
        Self { chat, keys, drawn, screen: String::new() }
    }

    /// Presses keys.
    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is drawn.
    async fn shows(&mut self, expected: &str) {
        while !self.screen.contains(expected) {
            let drawn = timeout(PATIENCE, self.drawn.recv()).await;
            let Ok(Some(drawn)) = drawn else { panic!("no {expected:?} in {:?}", self.screen) };
            self.screen.push_str(&drawn);
        }
        self.screen.clear();
    }

    /// Leaves by a key; the chat must end well.
    async fn leave(mut self) {
        self.press("\u{4}");
        let status = timeout(PATIENCE, self.chat.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
    }
}

/// What is drawn; a thread reads it until the chat has ended.
fn read(mut terminal: File) -> mpsc::UnboundedReceiver<String> {
    let (drawn, shown) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let (mut some, mut bytes) = ([0; 4096], Vec::new());
        while let Ok(count @ 1..) = terminal.read(&mut some) {
            bytes.extend_from_slice(&some[..count]);
            // A character may come in two parts.
            let whole = bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
            let text: Vec<u8> = bytes.drain(..whole).collect();
            if drawn.send(String::from_utf8(text).unwrap()).is_err() {
                return;
            }
        }
    });
    shown
}

#[tokio::test]
async fn who_types_is_shown_and_typing_is_told() {
    let [bob] = Person::several().await;
    let mut b = bob.connect(SECOND).await;
    let folder = TempDir::new().unwrap();
    let name = format!("t{:08x}", rand::random::<u32>());
    let mut alice = Terminal::start(&name, &bob.name, &folder).await;
    alice.shows("connected").await;
    let user: UserId = bob.account.find(&name).await.unwrap().unwrap().id;

    b.types(user, true).await;
    alice.shows(&format!("{} is typing", bob.name)).await;

    // A slash begins a command, which is nobody's business.
    alice.press("/\u{7f}h");
    let typing = |on| Frame::Typing { chat: ChatId::User(user), from: user, on };
    assert_eq!(b.hears().await, typing(true));
    alice.press("\u{7f}");
    assert_eq!(b.hears().await, typing(false));
    alice.press("hello\r");
    assert_eq!(b.hears().await, typing(true));
    let item = loop {
        // Where the machine is slow, typing is told more than once.
        match b.hears().await {
            Frame::Messages { mut items } => break items.remove(0),
            other => assert_eq!(other, typing(true)),
        }
    };
    assert_eq!(item.body.get(), r#"{"kind":"text","text":"hello"}"#);
    alice.leave().await;
}

#[tokio::test]
async fn who_is_there_is_shown_and_when_they_were() {
    let [bob] = Person::several().await;
    let folder = TempDir::new().unwrap();
    let name = format!("t{:08x}", rand::random::<u32>());
    let mut alice = Terminal::start(&name, &bob.name, &folder).await;
    alice.shows(&format!("{} is offline", bob.name)).await;
    let b = bob.connect(SECOND).await;
    alice.shows(&format!("{} is online", bob.name)).await;
    b.hangs_up().await;
    alice.shows(&format!("{} was last seen just now", bob.name)).await;
    alice.leave().await;
}
