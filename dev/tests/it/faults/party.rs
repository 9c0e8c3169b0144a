//! People who all talk with each other.

use std::collections::HashMap;

use dev::{
    Stack,
    client::{Account, Api},
};
use futures_util::future::join_all;
use nats::Bus;
use schemas::{Micros, UserId};
use tokio_util::sync::CancellationToken;

use super::{
    eventually,
    guest::{Guest, Notes, PASSWORD},
    promises, undelivered,
};

/// How many people.
const PEOPLE: usize = 4;

/// The guests, each connected; their devices are spread over the gateways.
pub(super) struct Party {
    pub(super) guests: Vec<Guest>,
    bus: Bus,
}

impl Party {
    /// Four new people, one of them on two devices.
    pub(super) async fn at(stack: &Stack) -> Self {
        Self::on(stack, stack.bus().await.unwrap()).await
    }

    /// The same, where the stack's NATS is reached otherwise.
    pub(super) async fn on(stack: &Stack, bus: Bus) -> Self {
        let gateways: Vec<Api> =
            stack.gateways().iter().map(|gateway| Api::new(&gateway.url()).unwrap()).collect();
        let mut devices = Vec::new();
        for _ in 0..PEOPLE {
            devices.push(Guest::register(&gateways[0]).await);
        }
        let first = &devices[0].0;
        let second_device = gateways[0].login(first, PASSWORD, None).await.unwrap();
        devices.push((first.clone(), second_device));

        let arrive = |(turn, (name, account)): (usize, (String, Account))| {
            let mut mine = gateways.clone();
            mine.rotate_left(turn % gateways.len());
            Guest::arrive(name, account, mine)
        };
        let guests = devices.into_iter().enumerate().map(arrive).collect();
        Self::of(guests, bus).await
    }

    /// These guests, once they have caught up.
    pub(super) async fn of(guests: Vec<Guest>, bus: Bus) -> Self {
        for guest in &guests {
            guest.until("caught_up", |notes| notes.caught_up).await;
        }
        Self { guests, bus }
    }

    /// Everybody talks to everybody while something happens.
    pub(super) async fn talks_while(&self, happens: impl Future<Output = ()>) {
        let enough = CancellationToken::new();
        let talking = self.guests.iter().map(async |guest| {
            let peers: Vec<UserId> = self
                .guests
                .iter()
                .map(|peer| peer.user)
                .filter(|peer| *peer != guest.user)
                .collect();
            guest.talk(&peers, &enough).await;
        });
        let happens = async {
            happens.await;
            enough.cancel();
        };
        tokio::join!(join_all(talking), happens);
    }

    /// Waits until each device has so many more of its messages confirmed.
    pub(super) async fn confirms(&self, more: usize) {
        join_all(self.guests.iter().map(|guest| guest.confirms(more))).await;
    }

    /// Waits until everybody has caught up at this gateway.
    pub(super) async fn is_served_by(&self, gateway: &str) {
        join_all(self.guests.iter().map(|guest| guest.is_served_by(gateway))).await;
    }

    /// Waits until all that was said is confirmed, shown to everybody it was
    /// said to, delivered and read; then looks at every promise.
    pub(super) async fn settles(&self) {
        self.is_shown_everything().await;
        join_all(self.guests.iter().map(|guest| self.is_read_by_all(guest))).await;
        promises::check(&self.guests);
    }

    /// Waits until all that was said is confirmed, and shown to everybody it was
    /// said to.
    pub(super) async fn is_shown_everything(&self) {
        let all_sent = |notes: &Notes| notes.unconfirmed() == 0;
        join_all(self.guests.iter().map(|guest| guest.until("all ticks of Sent", all_sent))).await;
        join_all(self.guests.iter().map(|guest| self.is_shown_all(guest))).await;
    }

    /// Waits until no inbox holds anything.
    pub(super) async fn leaves_nothing_behind(&self) {
        let all_empty = async || undelivered(&self.bus).await == Some(0);
        eventually("all inboxes are empty", all_empty).await;
    }

    async fn is_shown_all(&self, reader: &Guest) {
        let others = self.guests.iter().filter(|guest| guest.user != reader.user);
        let said =
            |guest: &Guest| guest.notes().said.iter().filter(|said| said.to == reader.user).count();
        let expected: usize = others.map(said).sum();
        let all_shown = |notes: &Notes| {
            notes.shown.iter().filter(|item| item.from != reader.user).count() >= expected
        };
        reader.until("all that was said to it", all_shown).await;
    }

    async fn is_read_by_all(&self, speaker: &Guest) {
        let newest = self.newest_of(speaker.user);
        let all_read = |notes: &Notes| {
            newest.iter().all(|(peer, ts)| {
                let receipt = notes.receipts.get(peer);
                receipt.is_some_and(|receipt| receipt.delivered >= *ts && receipt.read >= *ts)
            })
        };
        speaker.until(&format!("ticks up to {newest:?}"), all_read).await;
    }

    /// The newest message of a user to each peer, from whichever device.
    fn newest_of(&self, user: UserId) -> HashMap<UserId, Micros> {
        let mut newest = HashMap::new();
        for device in self.guests.iter().filter(|guest| guest.user == user) {
            let notes = device.notes();
            for said in &notes.said {
                let ts = newest.entry(said.to).or_default();
                *ts = notes.sent[&said.id].max(*ts);
            }
        }
        newest
    }
}
