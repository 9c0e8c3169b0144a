//! Somebody who writes once to each of many people who are away.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use schemas::Micros;
use tokio::{sync::Notify, time::timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{
    client,
    load::{
        check::Faults,
        latency::Latency,
        people::Connected,
        run::Style,
        wire::{self, Content},
    },
};

/// Longest silence of a gateway while a message is not confirmed.
const SILENCE: Duration = Duration::from_secs(30);

/// What all senders share.
pub(super) struct Sending {
    pub(super) start: Instant,
    pub(super) style: Style,
    pub(super) body_bytes: usize,
    /// From the planned time to the sending: the generator's own part.
    pub(super) late: Latency,
    /// From the planned time to the Sent tick.
    pub(super) ticked: Latency,
}

/// Somebody with a message for each of these.
pub(super) struct Sender {
    sending: Arc<Sending>,
    index: u32,
    chats: Vec<String>,
    ahead_us: i64,
    outgoing: VecDeque<Utf8Bytes>,
    letters: Vec<Letter>,
    over: usize,
    faults: Faults,
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    /// When it was to be sent.
    pub(super) due: Instant,
    /// When its sender was told that it is stored.
    pub(super) stored: Option<Instant>,
}

/// What somebody wrote.
pub(super) struct Written {
    /// In the order of the people it was for.
    pub(super) letters: Vec<Letter>,
    pub(super) faults: Faults,
}

impl Sender {
    pub(super) fn new(sending: Arc<Sending>, index: u32, chats: Vec<String>) -> Self {
        Self {
            sending,
            index,
            chats,
            ahead_us: 0,
            outgoing: VecDeque::new(),
            letters: Vec::new(),
            over: 0,
            faults: Faults::default(),
        }
    }

    /// Writes to all, and waits until all is stored.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes any more.
    pub(super) async fn write(
        mut self,
        connected: Connected,
        wake: Arc<Notify>,
    ) -> anyhow::Result<Written> {
        let Connected { mut socket, ahead_us } = connected;
        self.ahead_us = ahead_us;
        self.send_due();
        while self.over < self.chats.len() {
            let came = async {
                tokio::select! {
                    received = socket.exchange(&mut self.outgoing, true) => Some(received),
                    () = wake.notified() => None,
                }
            };
            match timeout(SILENCE, came).await.context("a message is not confirmed")? {
                Some(client::Received::Text(text)) => self.take(&text)?,
                Some(client::Received::Closed(code)) => bail!("a sender was closed ({code:?})"),
                Some(client::Received::Ping | client::Received::Other) => {}
                None => self.send_due(),
            }
        }
        // It is over: how the socket ends does not matter.
        let _ = socket.close().await;
        Ok(Written { letters: self.letters, faults: self.faults })
    }

    fn send_due(&mut self) {
        while self.letters.len() < self.chats.len() {
            let (now, n) = (Instant::now(), u32::try_from(self.letters.len()).unwrap_or(u32::MAX));
            let due = match self.sending.style {
                Style::Planned(plan) => {
                    self.sending.start + Duration::from_micros(plan.due_us(self.index, n))
                }
                Style::Window(most) if self.letters.len() - self.over < most as usize => now,
                Style::Window(_) => return,
            };
            if due > now {
                return;
            }
            self.sending.late.record(self.index as usize, now - due);
            let content = Content { n, due_us: 0 };
            let at = Micros::now().0 + self.ahead_us;
            let chat = &self.chats[self.letters.len()];
            let text = wire::send(chat, content, at, 0, self.sending.body_bytes);
            self.outgoing.push_back(text.into());
            self.letters.push(Letter { due, stored: None });
        }
    }

    fn take(&mut self, text: &str) -> anyhow::Result<()> {
        match wire::parse(text)? {
            wire::Frame::Sent { n, .. } => {
                let letter = n.and_then(|n| self.letters.get_mut(n as usize));
                match letter {
                    Some(letter) if letter.stored.is_none() => {
                        let now = Instant::now();
                        letter.stored = Some(now);
                        self.sending.ticked.record(self.index as usize, now - letter.due);
                        self.over += 1;
                    }
                    _ => self.faults.doubled += 1,
                }
            }
            wire::Frame::Error { code, .. } => {
                self.faults.refused(&code);
                self.over += 1;
            }
            _ => {}
        }
        self.send_due();
        Ok(())
    }
}
