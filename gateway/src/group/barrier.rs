//! The question that makes a change of a group, or of a user, take effect
//! everywhere, and its answer.
//!
//! Whoever changes a group asks every gateway with a lease, again and again,
//! until each has answered or its lease has ended. A gateway answers when it
//! acts on the change and nothing that it began before is under way any more.
//! For a change of a user it suffices that what begins from now on acts on it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use nats::subject::BARRIER;
use schemas::{GatewayId, GroupId, UserId, event::Barrier};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::{
    Groups,
    passes::Version,
    poll::Poll,
    table::{Membership, Table},
};
use crate::roster::Roster;

/// A question that was not answered by all is asked again after so long: a
/// gateway may have been without a connection, or its lease has ended.
const ROUND: Duration = Duration::from_millis(500);
/// How long who changes a user waits for the gateways: one that died is not to
/// keep people from logging in for as long as its lease.
const FORGET_WITHIN: Duration = Duration::from_secs(3);
/// Questions that wait at this gateway to be answered. Beyond it they are not
/// heard, and asked again.
const WAITING: usize = 1_024;

impl Groups {
    /// Returns when every earlier change of the group has been told, through
    /// whatever gateway; which may be never, so the caller bounds it.
    pub(super) async fn turn(&self, group: GroupId, version: Version) {
        self.ask_all(&Barrier::Turn { group, version }).await;
    }

    /// Returns when every gateway acts on this version of the group, or a later
    /// one; which may be never, so the caller bounds it.
    pub(super) async fn take_effect(&self, group: GroupId, version: Version, members: Vec<UserId>) {
        let asked = Instant::now();
        self.ask_all(&Barrier::Effect { group, version, members }).await;
        metrics::histogram!("petrel_group_barrier_seconds").record(asked.elapsed());
    }

    /// Returns when no gateway acts on what it remembered of this user before,
    /// or after [`FORGET_WITHIN`]: then one that lives acts on the change when
    /// it hears of it.
    pub(crate) async fn forget_everywhere(&self, user: UserId) {
        let question = Barrier::Forget { user };
        if timeout(FORGET_WITHIN, self.ask_all(&question)).await.is_err() {
            tracing::warn!(%user, "not every gateway has answered for a change of a user");
        }
    }

    async fn ask_all(&self, barrier: &Barrier) {
        let question: Bytes = match serde_json::to_vec(barrier) {
            Ok(json) => json.into(),
            Err(error) => return tracing::error!(%error, "a question has no JSON form"),
        };
        let mut poll = Poll::new(self.gateway);
        while let Err(trouble) = self.ask(&mut poll, question.clone()).await {
            let silent: BTreeSet<GatewayId> = poll.silent().collect();
            tracing::info!(?silent, trouble, "waiting for gateways");
        }
    }

    /// One round; an error says why there has to be another.
    async fn ask(&self, poll: &mut Poll, question: Bytes) -> Result<(), String> {
        let end = Instant::now() + ROUND;
        let round = async {
            let reply_to = self.client.new_inbox();
            let mut answers = self.client.subscribe(reply_to.clone()).await.map_err(told)?;
            let ask = self.client.publish_with_reply(BARRIER, reply_to, question);
            ask.await.map_err(told)?;
            poll.live(&self.leases.live().await.map_err(told)?);
            while !poll.is_over() {
                let answer = answers.next().await.ok_or("no connection")?;
                let gateway = std::str::from_utf8(&answer.payload).ok();
                let gateway = gateway.and_then(|gateway| gateway.parse().ok());
                poll.answered(gateway.ok_or("an answer that is none")?);
            }
            Ok::<_, String>(())
        };
        match timeout_at(end, round).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(trouble)) => {
                tokio::time::sleep_until(end).await;
                Err(trouble)
            }
            Err(_) => Err("no answer yet".to_owned()),
        }
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Answers the others' questions, and one's own.
pub(super) struct Answering {
    gateway: GatewayId,
    client: Client,
    table: Table,
    roster: Roster,
    questions: Subscriber,
    waiting: TaskTracker,
    room: Arc<Semaphore>,
}

impl Answering {
    /// Hears questions from now on.
    ///
    /// # Errors
    /// When NATS does not take the subscription.
    pub(super) async fn start(
        gateway: GatewayId,
        client: Client,
        table: &Table,
        roster: Roster,
    ) -> anyhow::Result<Self> {
        let questions = client.subscribe(BARRIER).await?;
        client.flush().await?;
        let (waiting, room) = (TaskTracker::new(), Arc::new(Semaphore::new(WAITING)));
        let table = table.clone();
        Ok(Self { gateway, client, table, roster, questions, waiting, room })
    }

    /// Answers until the connection is closed for good.
    pub(super) async fn run(mut self) {
        while let Some(question) = self.questions.next().await {
            self.hear(question);
        }
    }

    fn hear(&self, question: Message) {
        let Some(reply_to) = question.reply else { return };
        let barrier: Barrier = match serde_json::from_slice(&question.payload) {
            Ok(barrier) => barrier,
            Err(error) => return tracing::warn!(%error, "an unreadable question"),
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return tracing::warn!("too many changes at once");
        };
        let over = match barrier {
            Barrier::Turn { group, version } => self.table.turn(group, version),
            Barrier::Effect { group, version, members } => {
                self.table.changed(group, Membership::new(version, members))
            }
            Barrier::Forget { user } => {
                self.roster.forget(user);
                None
            }
        };
        let (client, gateway) = (self.client.clone(), self.gateway);
        self.waiting.spawn(async move {
            let _room = room;
            if let Some(over) = over {
                // The table outlives what waits for it.
                let _ = over.await;
            }
            if let Err(error) = client.publish(reply_to, gateway.to_string().into()).await {
                tracing::warn!(%error, "a question not answered");
            }
        });
    }
}
