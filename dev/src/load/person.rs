//! One person in the traffic: sends, acknowledges, checks and measures.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use schemas::Micros;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    check::{Faults, Received, Sent},
    people::Connected,
    run::{Run, Style},
    wire::{self, Content},
};
use crate::client;

/// What one person knows in the end.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of the messages to the other.
    pub(super) sent: Sent,
    /// Of the messages from the other.
    pub(super) received: Received,
    pub(super) faults: Faults,
}

/// One person, connected.
pub(super) struct Talker {
    run: Arc<Run>,
    index: usize,
    peer: String,
    ahead_us: i64,
    outgoing: VecDeque<Utf8Bytes>,
    under_way: VecDeque<UnderWay>,
    newest_ts: i64,
    last_at: i64,
    outcome: Outcome,
}

struct UnderWay {
    due_us: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Sent,
    Ticked { ts: i64 },
    Refused,
}

impl Talker {
    /// Person `index`, who talks to `peer`.
    pub(super) fn new(run: Arc<Run>, index: usize, peer: String) -> Self {
        Self {
            run,
            index,
            peer,
            ahead_us: 0,
            outgoing: VecDeque::new(),
            under_way: VecDeque::new(),
            newest_ts: 0,
            last_at: 0,
            outcome: Outcome::default(),
        }
    }

    /// Talks until the run is stopped or the connection breaks.
    pub(super) async fn talk(mut self, connected: Connected, wake: Arc<Notify>) -> Outcome {
        let Connected { mut socket, ahead_us } = connected;
        self.ahead_us = ahead_us;
        let stop = self.run.stop.clone();
        if let Style::Window(_) = self.run.style {
            wake.notify_one();
        }
        loop {
            tokio::select! {
                received = socket.exchange(&mut self.outgoing, true) => match received {
                    client::Received::Text(text) => self.take(&text),
                    client::Received::Ping | client::Received::Other => {}
                    client::Received::Closed(_) => {
                        self.outcome.faults.disconnected += 1;
                        return self.outcome;
                    }
                },
                () = wake.notified() => self.send_due(),
                () = stop.cancelled() => break,
            }
        }
        // It is over: how the socket ends does not matter.
        let _ = socket.close().await;
        self.outcome
    }

    /// Sends what is due.
    fn send_due(&mut self) {
        let now_us = self.run.elapsed_us();
        loop {
            let n = self.outcome.sent.sent;
            let due_us = match self.run.style {
                Style::Planned(plan) => {
                    plan.due_us(u32::try_from(self.index).unwrap_or(u32::MAX), n)
                }
                Style::Window(most) if self.under_way.len() < most as usize => now_us,
                Style::Window(_) => return,
            };
            if due_us > now_us || due_us >= self.run.measured_us.end {
                return;
            }
            self.send(Content { n, due_us });
            self.run.record(&self.run.late, self.index, due_us, now_us);
        }
    }

    fn send(&mut self, content: Content) {
        // Of two messages in the same microsecond, the later must be later.
        let at = (Micros::now().0 + self.ahead_us).max(self.last_at + 1);
        self.last_at = at;
        let text = wire::send(&self.peer, content, at, self.newest_ts, self.run.body_bytes);
        self.outgoing.push_back(text.into());
        self.under_way.push_back(UnderWay { due_us: content.due_us, stage: Stage::Sent });
        self.outcome.sent.sent += 1;
        self.run.counts.sent.fetch_add(1, Relaxed);
    }

    fn take(&mut self, text: &str) {
        match wire::parse(text) {
            Ok(wire::Frame::Messages(items)) => self.messages(&items),
            Ok(wire::Frame::Sent { n, ts }) => self.ticked(n, ts),
            Ok(wire::Frame::Receipts(receipts)) => self.delivered(wire::furthest(&receipts)),
            Ok(wire::Frame::Error { code, reference }) => self.refused(&code, reference.as_deref()),
            Ok(wire::Frame::CaughtUp | wire::Frame::Other) => {}
            Err(_) => self.outcome.faults.corrupt += 1,
        }
    }

    fn messages(&mut self, items: &[wire::Item<'_>]) {
        let now_us = self.run.elapsed_us();
        let Outcome { received, faults, .. } = &mut self.outcome;
        for item in items {
            self.newest_ts = item.ts.max(self.newest_ts);
            match item.content(self.run.body_bytes) {
                Some(content) if item.from == self.peer => {
                    if received.take(content.n, item.ts, faults) {
                        self.run.record(&self.run.received, self.index, content.due_us, now_us);
                        if self.run.measured_us.contains(&now_us) {
                            self.run.counts.received_in_time.fetch_add(1, Relaxed);
                        }
                    }
                }
                _ => faults.corrupt += 1,
            }
        }
        if let Some(last) = items.last() {
            self.outgoing.push_back(wire::ack(last.seq).into());
        }
    }

    fn ticked(&mut self, n: Option<u32>, ts: i64) {
        let now_us = self.run.elapsed_us();
        self.newest_ts = ts.max(self.newest_ts);
        let sent = &mut self.outcome.sent;
        let first = sent.sent - u32::try_from(self.under_way.len()).unwrap_or(u32::MAX);
        let place = n.and_then(|n| n.checked_sub(first)).map(|place| place as usize);
        let Some(message) = place.and_then(|place| self.under_way.get_mut(place)) else {
            self.outcome.faults.doubled += 1;
            return;
        };
        if message.stage != Stage::Sent {
            self.outcome.faults.doubled += 1;
            return;
        }
        message.stage = Stage::Ticked { ts };
        // Ticks of one chat come in the order of the messages.
        if ts <= sent.last_ts {
            self.outcome.faults.out_of_order += 1;
        }
        sent.last_ts = ts.max(sent.last_ts);
        sent.ticked += 1;
        self.run.record(&self.run.ticked, self.index, message.due_us, now_us);
        self.pass_delivered(now_us);
    }

    fn delivered(&mut self, delivered: i64) {
        let sent = &mut self.outcome.sent;
        if delivered < sent.delivered {
            self.outcome.faults.out_of_order += 1;
        }
        sent.delivered = delivered.max(sent.delivered);
        self.pass_delivered(self.run.elapsed_us());
    }

    fn refused(&mut self, code: &str, reference: Option<&str>) {
        self.outcome.faults.refused(code);
        let n = reference.and_then(|id| id.strip_prefix('m')?.parse::<u32>().ok());
        let sent = &self.outcome.sent;
        let first = sent.sent - u32::try_from(self.under_way.len()).unwrap_or(u32::MAX);
        let place = n.and_then(|n| n.checked_sub(first)).map(|place| place as usize);
        if let Some(message) = place.and_then(|place| self.under_way.get_mut(place)) {
            message.stage = Stage::Refused;
        }
        self.pass_delivered(self.run.elapsed_us());
    }

    /// Lets go of the messages whose way is over, in order.
    fn pass_delivered(&mut self, now_us: u64) {
        let before = self.under_way.len();
        let delivered = self.outcome.sent.delivered;
        while let Some(first) = self.under_way.front() {
            match first.stage {
                Stage::Ticked { ts } if ts <= delivered => {
                    self.run.record(&self.run.delivered, self.index, first.due_us, now_us);
                    if self.run.measured_us.contains(&now_us) {
                        self.run.counts.delivered_in_time.fetch_add(1, Relaxed);
                    }
                }
                Stage::Refused => {}
                _ => break,
            }
            self.under_way.pop_front();
        }
        let over = before - self.under_way.len();
        self.run.counts.over.fetch_add(over as u64, Relaxed);
        if over > 0 && matches!(self.run.style, Style::Window(_)) {
            self.send_due();
        }
    }
}
