//! Where the gateway's subscriptions end.

use std::sync::Arc;

use bytes::Bytes;
use nats::{
    mux::{Delivery, Sink},
    subject::{ReceiptsKey, Told},
};
use schemas::{
    DeviceId, Micros, UserId,
    event::{Notice, ReadMarks, Watermark},
    server::{ReadSync, Receipt},
};

use crate::{
    mailbox::Mailbox,
    presence::Watching,
    roster::Roster,
    session::{
        feed::{Entry, Live},
        receipts::Change,
    },
};

/// One subscription's end.
#[derive(Debug, Clone)]
pub(crate) enum Inlet {
    /// All that a user's sessions are told, for the session of this device.
    Session(DeviceId, Arc<Mailbox>),
    /// Changes of anybody's devices, blocks or settings.
    Changed(Roster, Watching),
    /// Changes of one user's presence.
    Presence(UserId, Watching),
}

impl Sink for Inlet {
    fn deliver(&self, delivery: Delivery<'_>) {
        match self {
            Self::Session(device, mailbox) => match Told::parse(delivery.subject) {
                Some(Told::Message(to)) if to == *device => match live(&delivery) {
                    Some(live) => mailbox.live(live),
                    None => mailbox.live_gap(),
                },
                // Another device of the user has a session of its own for it.
                Some(Told::Message(_)) => {}
                Some(Told::Changed(key)) => {
                    let revision = delivery.number("Nats-Sequence");
                    let change = revision.and_then(|rev| change(key, delivery.payload, rev));
                    // Not a value: a key that was removed by hand.
                    change.into_iter().for_each(|change| mailbox.change(change));
                }
                Some(Told::Notice) => match serde_json::from_slice::<Notice>(delivery.payload) {
                    Ok(notice) => mailbox.notice(notice),
                    Err(error) => {
                        tracing::warn!(subject = delivery.subject, %error, "unreadable notice");
                    }
                },
                None => tracing::warn!(subject = delivery.subject, "told of something unknown"),
            },
            Self::Changed(roster, watching) => {
                if let Some(user) = nats::subject::changed_of(delivery.subject) {
                    roster.forget(user);
                    watching.changed(user);
                }
            }
            Self::Presence(user, watching) => {
                let record = serde_json::from_slice(delivery.payload).ok();
                if let Some((revision, record)) = delivery.number("Nats-Sequence").zip(record) {
                    watching.heard(*user, revision, record);
                }
            }
        }
    }

    fn gap(&self) {
        match self {
            Self::Session(_, mailbox) => {
                mailbox.live_gap();
                mailbox.changes_gap();
            }
            Self::Changed(roster, _) => roster.forget_all(),
            Self::Presence(user, watching) => watching.gap(*user),
        }
    }
}

/// A change of the receipts bucket, out of a key and its value.
pub(crate) fn change(key: ReceiptsKey, value: &[u8], rev: u64) -> Option<Change> {
    match key {
        ReceiptsKey::Receipt { chat, reader } => {
            let Watermark { delivered, read } = serde_json::from_slice(value).ok()?;
            Some(Change::Receipt(Receipt { chat, user: reader, delivered, read, rev }))
        }
        ReceiptsKey::Read { chat } => {
            let ReadMarks { marks, device } = serde_json::from_slice(value).ok()?;
            let marks: std::collections::BTreeMap<UserId, Micros> = marks;
            Some(Change::Read(ReadSync { chat, marks, rev }, device))
        }
    }
}

fn live(delivery: &Delivery<'_>) -> Option<Live> {
    let seq = delivery.number("Nats-Sequence")?;
    let previous = delivery.number("Nats-Last-Sequence")?;
    // A copy of its own: a slice would hold the whole read buffer while it waits.
    let stored = Bytes::copy_from_slice(delivery.payload);
    Some(Live { entry: Entry { seq, stored }, previous })
}
