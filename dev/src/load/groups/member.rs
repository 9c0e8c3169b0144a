//! One person in their groups: reads, acknowledges, checks, and talks where it
//! is their turn.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use schemas::Micros;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    phase::{Board, Phase},
    roll::Roll,
    voice::Voice,
};
use crate::{
    client,
    load::{
        check::{Faults, Received},
        people::Connected,
        run::Style,
        wire::{self, Content},
    },
};

/// One person, connected.
pub(super) struct Member {
    number: usize,
    slow: bool,
    roll: Arc<Roll>,
    board: Arc<Board>,
    connected: Connected,
    outgoing: VecDeque<Utf8Bytes>,
    last_at: i64,
    /// By the number of the group.
    places: HashMap<usize, Place>,
    /// What went wrong so far.
    pub(super) faults: Faults,
}

/// A person in one group.
pub(super) struct Place {
    newest_ts: i64,
    /// Of each who talks there.
    pub(super) received: Vec<Received>,
    pub(super) voice: Option<Talk>,
}

/// What one says in a group.
pub(super) struct Talk {
    number: usize,
    pub(super) voice: Voice,
    /// Messages of earlier phases.
    before: u32,
}

impl Member {
    /// Person `number`.
    pub(super) fn new(
        number: usize,
        slow: bool,
        roll: &Arc<Roll>,
        board: &Arc<Board>,
        connected: Connected,
    ) -> Self {
        let place = |(n, group): (usize, &super::roll::Group)| {
            let me = group.people.iter().position(|person| *person == number)?;
            let voice = (me < roll.speakers()).then(|| Talk {
                number: roll.voice(n, me),
                voice: Voice::new(me, group.people.len(), roll.quick()),
                before: 0,
            });
            let received = vec![Received::default(); roll.speakers()];
            Some((n, Place { newest_ts: 0, received, voice }))
        };
        Self {
            number,
            slow,
            places: roll.groups().iter().enumerate().filter_map(place).collect(),
            roll: Arc::clone(roll),
            board: Arc::clone(board),
            connected,
            outgoing: VecDeque::new(),
            last_at: 0,
            faults: Faults::default(),
        }
    }

    /// The number of the person.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Where this person is, by the number of the group.
    pub(super) fn place(&self, group: usize) -> Option<&Place> {
        self.places.get(&group)
    }

    /// Takes part until the phase is stopped or the connection breaks.
    pub(super) async fn live(mut self, phase: Arc<Phase>, wake: Arc<Notify>) -> Self {
        for talk in self.places.values_mut().filter_map(|place| place.voice.as_mut()) {
            talk.before = talk.voice.sent();
        }
        sleep_until(phase.run.start.into()).await;
        if let Style::Window(_) = phase.run.style {
            wake.notify_one();
        }
        let pause = phase.pause.filter(|_| self.slow);
        let mut paused_until = None;
        loop {
            let reads = paused_until.is_none();
            tokio::select! {
                received = self.connected.socket.exchange(&mut self.outgoing, reads) => match received {
                    client::Received::Text(text) => {
                        self.take(&phase, &text);
                        let pause = pause.filter(|_| !phase.hurry.is_cancelled());
                        paused_until = pause.map(|pause| Instant::now() + pause);
                    }
                    client::Received::Ping | client::Received::Other => {}
                    client::Received::Closed(_) => {
                        self.faults.disconnected += 1;
                        return self;
                    }
                },
                () = wake.notified() => self.send_due(&phase),
                () = sleep_until(paused_until.unwrap_or_else(Instant::now)), if !reads => {
                    paused_until = None;
                }
                () = phase.hurry.cancelled(), if !reads => paused_until = None,
                () = phase.run.stop.cancelled() => return self,
            }
        }
    }

    /// Sends what is due in all groups.
    fn send_due(&mut self, phase: &Phase) {
        let now_us = phase.run.elapsed_us();
        for (group, place) in &mut self.places {
            let Some(talk) = &mut place.voice else { continue };
            while let Some(due_us) = talk.due(phase, now_us) {
                // Of two messages in the same microsecond, the later must be later.
                let at = (Micros::now().0 + self.connected.ahead_us).max(self.last_at + 1);
                self.last_at = at;
                self.board.send(talk.number);
                let n = talk.voice.send(due_us);
                // An id is its sender's, whatever the group.
                let n = id(n, *group, self.roll.groups().len());
                let content = Content { n, due_us };
                let chat = &self.roll.groups()[*group].chat;
                let body = phase.run.body_bytes;
                let text = wire::send(chat, content, at, place.newest_ts, body);
                self.outgoing.push_back(text.into());
                phase.run.counts.sent.fetch_add(1, Relaxed);
                phase.run.record(&phase.run.late, self.number, due_us, now_us);
            }
        }
    }

    fn take(&mut self, phase: &Phase, text: &str) {
        match wire::parse(text) {
            Ok(wire::Frame::Messages(items)) => self.messages(phase, &items),
            Ok(wire::Frame::Sent { n, ts }) => self.ticked(phase, n, ts),
            Ok(wire::Frame::Receipts(receipts)) => self.receipts(phase, &receipts),
            Ok(wire::Frame::Error { code, .. }) => self.faults.refused(&code),
            Ok(wire::Frame::CaughtUp | wire::Frame::Other) => {}
            Err(_) => self.faults.corrupt += 1,
        }
    }

    fn messages(&mut self, phase: &Phase, items: &[wire::Item<'_>]) {
        let now_us = phase.run.elapsed_us();
        for item in items {
            if self.message(phase, item, now_us).is_none() {
                self.faults.corrupt += 1;
            }
        }
        if let Some(last) = items.last() {
            self.outgoing.push_back(wire::ack(last.seq).into());
        }
    }

    /// Nothing where it is not what somebody in one of the groups said there.
    fn message(&mut self, phase: &Phase, item: &wire::Item<'_>, now_us: u64) -> Option<()> {
        let group = self.roll.group(item.chat)?;
        let place = self.places.get_mut(&group)?;
        let speaker = self.roll.groups()[group].member(item.from)?;
        let received = place.received.get_mut(speaker)?;
        let content = item.content(phase.run.body_bytes)?;
        let (n, of) = number(content.n, self.roll.groups().len());
        if of != group {
            return None;
        }
        place.newest_ts = item.ts.max(place.newest_ts);
        if !received.take(n, item.ts, &mut self.faults) {
            return Some(());
        }
        if phase.run.measured_us.contains(&now_us) {
            phase.run.counts.received_in_time.fetch_add(1, Relaxed);
        }
        if self.slow {
            phase.taken_slowly.fetch_add(1, Relaxed);
            return Some(());
        }
        phase.run.record(&phase.run.received, self.number, content.due_us, now_us);
        if self.board.receive(self.roll.voice(group, speaker), n) {
            phase.run.record(&phase.last, self.number, content.due_us, now_us);
        }
        Some(())
    }

    fn ticked(&mut self, phase: &Phase, n: Option<u32>, ts: i64) {
        let now_us = phase.run.elapsed_us();
        let found = n.and_then(|n| {
            let (n, group) = number(n, self.roll.groups().len());
            Some((n, self.places.get_mut(&group)?))
        });
        let Some((n, Place { newest_ts, voice: Some(talk), .. })) = found else {
            self.faults.corrupt += 1;
            return;
        };
        *newest_ts = ts.max(*newest_ts);
        let Some(ticked) = talk.voice.tick(n, ts, &mut self.faults) else { return };
        phase.run.record(&phase.run.ticked, self.number, ticked.due_us, now_us);
        phase.count_delivered(ticked.deliveries, now_us);
        if ticked.deliveries > 0 && talk.pass(phase, self.number, now_us) {
            self.send_more(phase);
        }
    }

    fn receipts(&mut self, phase: &Phase, receipts: &[wire::Receipt<'_>]) {
        let now_us = phase.run.elapsed_us();
        let mut passed = false;
        for receipt in receipts {
            let group = self.roll.group(receipt.chat);
            let member = group.and_then(|it| self.roll.groups()[it].member(receipt.user));
            let place = group.and_then(|group| self.places.get_mut(&group));
            let talk = place.and_then(|place| place.voice.as_mut());
            let (Some(member), Some(talk)) = (member, talk) else {
                self.faults.corrupt += 1;
                continue;
            };
            let more = talk.voice.receipt(member, receipt.delivered, &mut self.faults);
            phase.count_delivered(more, now_us);
            passed |= more > 0 && talk.pass(phase, self.number, now_us);
        }
        if passed {
            self.send_more(phase);
        }
    }

    /// There is room in a window.
    fn send_more(&mut self, phase: &Phase) {
        if let Style::Window(_) = phase.run.style {
            self.send_due(phase);
        }
    }
}

impl Talk {
    /// When the next message is due, if it is.
    fn due(&self, phase: &Phase, now_us: u64) -> Option<u64> {
        let due_us = match phase.run.style {
            Style::Planned(plan) => {
                let number = u32::try_from(self.number).unwrap_or(u32::MAX);
                plan.due_us(number, self.voice.sent() - self.before)
            }
            Style::Window(most) if self.voice.under_way() < most as usize => now_us,
            Style::Window(_) => return None,
        };
        (due_us <= now_us && due_us < phase.run.measured_us.end).then_some(due_us)
    }

    /// Lets go of the messages that all have; whether there were any.
    fn pass(&mut self, phase: &Phase, who: usize, now_us: u64) -> bool {
        let over = self.voice.pass();
        for due_us in &over {
            phase.run.record(&phase.run.delivered, who, *due_us, now_us);
        }
        phase.run.counts.over.fetch_add(over.len() as u64, Relaxed);
        !over.is_empty()
    }
}

/// The number in the id of a voice's message `n`.
fn id(n: u32, group: usize, groups: usize) -> u32 {
    let (group, groups) = (group as u64, groups as u64);
    u32::try_from(u64::from(n) * groups + group).unwrap_or(u32::MAX)
}

/// A voice's message, and the group, of the number in its id.
fn number(id: u32, groups: usize) -> (u32, usize) {
    let n = id as usize / groups;
    (u32::try_from(n).unwrap_or(u32::MAX), id as usize % groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_which_message_of_which_group_it_is() {
        for (n, group) in [(0, 0), (0, 6), (1, 0), (12, 3)] {
            assert_eq!(number(id(n, group, 7), 7), (n, group));
        }
        assert_eq!(number(id(5, 0, 1), 1), (5, 0));
    }
}
