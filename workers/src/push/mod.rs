//! The push worker: it wakes devices that are not connected, for messages that
//! are still in their inboxes (ADR 14).
//!
//! A device without a session is woken at once. One that seems to have a session
//! gets some seconds to take its messages: what is delivered meanwhile has left
//! the inbox, and the rest shows that nobody is behind that session. No timers
//! are kept: a message that is to be looked at later is given back to its stream.

mod decide;
pub mod sender;
mod targets;
mod worth;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use async_nats::jetstream;
use metrics::{counter, histogram};
use moka::sync::Cache;
use nats::{Bus, Inboxes, PushKv, Sessions, push::Told, subject};
use schemas::{DeviceId, Millis, PushTarget, UserId, event::PushRecord, push::PushPreview};
use tokio::time::sleep;
use tracing::{debug, info, warn};

pub(crate) use self::targets::Targets;
use self::{
    decide::Decision,
    sender::{Notification, Outcome, Senders, Way, backoff},
    targets::Wakeable,
    worth::{Worth, worth},
};
use crate::{
    runner::{Delivery, Handler, Turn, Undecodable, Verdict},
    unavailable::{Unavailable, Unwritten},
};

/// For how long a device that seems to be connected is left to take its messages.
const GRACE: Duration = Duration::from_secs(5);
/// For how long a device is believed to be connected once it was. The longer of
/// the two is what a message of a device that just left may have to wait.
const BELIEVED: Duration = Duration::from_secs(4);
/// Most devices of which that is remembered.
const BELIEVED_DEVICES: u64 = 200_000;
/// So old is a message that somebody is woken for. Whoever has just connected is
/// in the registry by then, and whatever they were sent is delivered. It also
/// gathers what is sent in one breath.
pub(crate) const SETTLE: Duration = Duration::from_millis(250);
/// What is waited of that at least, whatever the clocks say.
const LEAST_SETTLE: Duration = Duration::from_millis(50);
/// Nobody is woken for what is older.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a decision is made anew because another worker's came first.
const ATTEMPTS: u32 = 4;
/// After which the message comes again.
const CROWDED: Duration = Duration::from_millis(500);

/// What all shards' workers share; clones share it.
#[derive(Clone)]
pub(crate) struct Push {
    bus: Bus,
    inboxes: Inboxes,
    sessions: Sessions,
    records: PushKv,
    targets: Targets,
    senders: Arc<Senders>,
    connected: Cache<DeviceId, ()>,
}

/// A message that was stored in an inbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    user: UserId,
    device: DeviceId,
    seq: u64,
    stored: Millis,
    deliveries: i64,
}

/// Who is asked what a device was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Replica,
    Leader,
}

impl Push {
    pub(crate) fn new(bus: &Bus, targets: Targets, senders: Arc<Senders>) -> Self {
        Self {
            bus: bus.clone(),
            inboxes: Inboxes::new(bus.clone()),
            sessions: Sessions::new(bus.clone()),
            records: PushKv::new(bus.clone()),
            targets,
            senders,
            connected: Cache::builder()
                .max_capacity(BELIEVED_DEVICES)
                .time_to_live(BELIEVED)
                .build(),
        }
    }

    /// Says for gateways with which key browsers are to subscribe, as soon as
    /// that can be said; never ends.
    pub(crate) async fn keep_vapid(self) {
        if let Some(public_key) = self.senders.vapid_public_key() {
            loop {
                match self.records.set_vapid(public_key).await {
                    Ok(true) => break info!(public_key, "browsers subscribe with this key now"),
                    Ok(false) => break,
                    Err(error) => warn!(%error, "the key of web push is not told yet"),
                }
                sleep(CROWDED).await;
            }
        }
        std::future::pending().await
    }

    /// What becomes of a message for all that is known without asking anybody: of
    /// most, everything.
    async fn glance(&self, waiting: &Waiting) -> Verdict {
        let Some(wakeable) = self.targets.known(waiting.user).await else { return Verdict::Alone };
        match self.way(waiting, &wakeable) {
            ControlFlow::Break(verdict) => verdict,
            ControlFlow::Continue(_) if self.seems_connected(waiting) => Verdict::Later(GRACE),
            ControlFlow::Continue(_) => Verdict::Alone,
        }
    }

    /// How the device could be woken now, or what else becomes of the message.
    fn way<'a>(
        &self,
        waiting: &Waiting,
        wakeable: &'a Wakeable,
    ) -> ControlFlow<Verdict, &'a PushTarget> {
        if waiting.age() > OLD {
            counter!("petrel_push_skipped_total", "reason" => "old").increment(1);
            return ControlFlow::Break(Verdict::Done);
        }
        let Some(target) = wakeable.target(waiting.device) else {
            return ControlFlow::Break(Verdict::Done);
        };
        match self.senders.way(target) {
            Way::Open => ControlFlow::Continue(target),
            // Nobody is kept waiting for what the operator has not set.
            Way::Absent => {
                counter!("petrel_push_skipped_total", "reason" => "no_provider").increment(1);
                ControlFlow::Break(Verdict::Done)
            }
            Way::Held(pause) => ControlFlow::Break(Verdict::Later(spread(pause))),
        }
    }

    async fn look(&self, waiting: &Waiting) -> Result<Verdict, Unavailable> {
        let Waiting { user, seq, .. } = *waiting;
        let wakeable = self.targets.of(user).await.map_err(Unavailable::new)?;
        let target = match self.way(waiting, &wakeable) {
            ControlFlow::Continue(target) => target,
            ControlFlow::Break(verdict) => return Ok(verdict),
        };
        if let Some(left) = self.left_of_grace(waiting).await? {
            return Ok(Verdict::Later(left));
        }
        let Some(worth) = self.read(user, seq).await? else { return Ok(Verdict::Done) };
        // A replica may lag. What is written on that ground is refused, and what
        // would be left to another message is asked again.
        let mut whom = Whom::Replica;
        for _ in 0..ATTEMPTS {
            let told = self.told(waiting, &worth, whom).await?;
            let Some(claimed) = (match self.decide(waiting, told).await? {
                Decision::Told => return Ok(Verdict::Done),
                Decision::Left if whom == Whom::Leader => return Ok(Verdict::Done),
                Decision::Left => None,
                Decision::Wait(pause) => return Ok(Verdict::Later(pause)),
                Decision::Keep(record, pause) => {
                    let kept = self.write(waiting, &worth, &record, told).await?;
                    if kept.is_some() {
                        return Ok(Verdict::Later(pause));
                    }
                    None
                }
                Decision::Claim(record) => self.write(waiting, &worth, &record, told).await?,
            }) else {
                whom = Whom::Leader;
                continue;
            };
            return self.notify(waiting, &worth, target, wakeable.preview, claimed).await;
        }
        Ok(Verdict::Later(CROWDED))
    }

    async fn told(
        &self,
        waiting: &Waiting,
        worth: &Worth,
        whom: Whom,
    ) -> Result<Option<Told>, Unavailable> {
        let key = (waiting.user, waiting.device, worth.chat);
        match whom {
            Whom::Replica => Ok(self.records.told(key).await?),
            Whom::Leader => Ok(self.records.told_newest(key).await?),
        }
    }

    async fn decide(&self, waiting: &Waiting, told: Option<Told>) -> Result<Decision, Unavailable> {
        let (seq, now) = (waiting.seq, Millis::now());
        let record = told.map(|told| told.record);
        let depends_on = record.and_then(|record| decide::depends_on(seq, &record, now));
        let gone = match depends_on {
            Some(other) => self.inboxes.get(waiting.user, other).await?.is_none(),
            None => false,
        };
        Ok(decide::decide(seq, record.as_ref(), gone, now))
    }

    /// Writes over what was told; nothing where that has changed meanwhile.
    async fn write(
        &self,
        waiting: &Waiting,
        worth: &Worth,
        record: &PushRecord,
        over: Option<Told>,
    ) -> Result<Option<Told>, Unavailable> {
        let key = (waiting.user, waiting.device, worth.chat);
        let revision = over.map_or(0, |told| told.revision);
        match self.records.tell(key, record, revision).await.map_err(Unwritten::from) {
            Ok(revision) => Ok(Some(Told { record: *record, revision })),
            Err(Unwritten::Conflict) => Ok(None),
            Err(Unwritten::Unavailable(error)) => Err(error),
        }
    }

    /// Wakes the device, with the claim in hand.
    async fn notify(
        &self,
        waiting: &Waiting,
        worth: &Worth,
        target: &PushTarget,
        preview: bool,
        claimed: Told,
    ) -> Result<Verdict, Unavailable> {
        let Waiting { user, device, seq, .. } = *waiting;
        if waiting.deliveries <= 1 {
            sleep(settle(waiting.age())).await;
        }
        let (here, (badge, newest)) =
            tokio::try_join!(self.inboxes.get(user, seq), self.inboxes.waiting(user, device))?;
        let is_back = waiting.deliveries <= 1 && self.is_connected(user, device).await?;
        if here.is_none() || is_back {
            // Said so, or whoever comes next would take this for a notification.
            let record = decide::needless(&claimed.record, here.is_none().then_some(seq));
            self.write(waiting, worth, &record, Some(claimed)).await?;
            return Ok(if is_back { Verdict::Later(GRACE) } else { Verdict::Done });
        }
        let shown = newest.as_ref().and_then(|newest| shown(user, worth, &newest.payload));
        let notification =
            Notification { device, chat: worth.chat, badge, preview: shown.filter(|_| preview) };
        let outcome = self.senders.send(target, &notification).await;
        let now = Millis::now();
        let newest = newest.map_or(seq, |newest| newest.seq);
        let sent = decide::sent(&claimed.record, seq, newest, now);
        let (record, verdict) = match outcome {
            Outcome::Sent => {
                histogram!("petrel_push_delay_seconds").record(waiting.age());
                (sent, Verdict::Done)
            }
            Outcome::Gone => {
                let dropped = self.targets.drop(&self.bus, user, device, target).await;
                if dropped.map_err(Unavailable::new)? {
                    info!(%user, %device, provider = target.provider(), "nobody there: not woken any more");
                    (sent, Verdict::Done)
                } else {
                    // It is woken in another way by now.
                    (decide::held(&claimed.record, seq, CROWDED, now), Verdict::Later(CROWDED))
                }
            }
            Outcome::Later(Some(pause)) => {
                let pause = spread(pause);
                (decide::held(&claimed.record, seq, pause, now), Verdict::Later(pause))
            }
            Outcome::Later(None) => {
                let pause = backoff(claimed.record.failures.saturating_add(1));
                (decide::failed(&claimed.record, seq, pause, now), Verdict::Later(pause))
            }
            Outcome::Refused(reason) => {
                debug!(%user, %device, reason, "not woken");
                let pause = decide::LONGEST_REPEAT;
                (decide::failed(&claimed.record, seq, pause, now), Verdict::Later(pause))
            }
        };
        // Whoever took over the claim meanwhile writes what is so.
        self.write(waiting, worth, &record, Some(claimed)).await?;
        Ok(verdict)
    }

    /// How long a device that is connected is still left to take its messages:
    /// all of the grace the first time, whatever the clocks say, and again when
    /// it has only just come.
    async fn left_of_grace(&self, waiting: &Waiting) -> Result<Option<Duration>, Unavailable> {
        let Waiting { user, device, .. } = *waiting;
        if waiting.deliveries <= 1 {
            return Ok(self.is_connected(user, device).await?.then_some(GRACE));
        }
        let since = self.sessions.connected_since(user, device).await?;
        let left = since.map(|since| {
            GRACE.saturating_sub(waiting.age().min(Millis::now().since(since.into())))
        });
        Ok(left.filter(|left| !left.is_zero()))
    }

    fn seems_connected(&self, waiting: &Waiting) -> bool {
        waiting.deliveries <= 1 && self.connected.contains_key(&waiting.device)
    }

    async fn is_connected(&self, user: UserId, device: DeviceId) -> Result<bool, Unavailable> {
        if self.connected.contains_key(&device) {
            return Ok(true);
        }
        let since = self.sessions.connected_since(user, device).await?;
        if since.is_some() {
            self.connected.insert(device, ());
        }
        Ok(since.is_some())
    }

    /// What there is to tell of a message; nothing if it was delivered.
    async fn read(&self, user: UserId, seq: u64) -> Result<Option<Worth>, Unavailable> {
        let Some(stored) = self.inboxes.get(user, seq).await? else { return Ok(None) };
        match worth(user, &stored) {
            Ok(worth) => Ok(worth),
            Err(error) => {
                warn!(%user, seq, %error, "unreadable message in an inbox");
                Ok(None)
            }
        }
    }
}

impl Handler for Push {
    type Event = Waiting;

    fn decode(&self, message: &jetstream::Message) -> Result<Waiting, Undecodable> {
        let inbox = subject::inbox_of(&message.subject);
        let (user, device) = inbox.ok_or_else(|| Undecodable::new("not an inbox"))?;
        let Delivery { seq, stored, deliveries } = Delivery::of(message)?;
        Ok(Waiting { user, device, seq, stored, deliveries })
    }

    async fn handle(&self, waiting: &[Waiting], turn: Turn) -> Vec<Verdict> {
        // Nothing is gained by waiting for more.
        drop(turn);
        match waiting {
            [waiting] => {
                let looked = self.look(waiting).await;
                vec![looked.unwrap_or_else(|error| {
                    warn!(user = %waiting.user, %error, "not looked at, and comes again");
                    Verdict::Retry
                })]
            }
            many => {
                let mut verdicts = Vec::with_capacity(many.len());
                for waiting in many {
                    verdicts.push(self.glance(waiting).await);
                }
                verdicts
            }
        }
    }
}

impl Waiting {
    fn age(&self) -> Duration {
        Millis::now().since(self.stored)
    }
}

/// How long a message of that age is left to be delivered.
fn settle(age: Duration) -> Duration {
    SETTLE.saturating_sub(age).max(LEAST_SETTLE)
}

/// The same pause or up to half as long again, so that those who were held back
/// together do not come together.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(1.0..1.5))
}

/// The newest message if it is in the same chat, and otherwise the one that the
/// notification is about.
fn shown(user: UserId, about: &Worth, newest: &[u8]) -> Option<PushPreview> {
    let newest = worth(user, newest).ok().flatten().filter(|newest| newest.chat == about.chat);
    let Worth { from, text, .. } = newest.unwrap_or_else(|| about.clone());
    text.map(|text| PushPreview { from, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_settles_for_a_quarter_of_a_second_and_a_moment_at_least() {
        for (age, wait) in [(0, 250), (100, 150), (240, 50), (250, 50), (60_000, 50)] {
            assert_eq!(settle(Duration::from_millis(age)), Duration::from_millis(wait), "{age}");
        }
    }
}
