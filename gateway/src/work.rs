//! What a session starts and does not wait for: each ends in its mailbox.

use std::{sync::Arc, time::Duration};

use nats::subject;
use schemas::{
    ChatId,
    client::Typing,
    event::{Acked, Notice},
    limits::MESSAGES_BYTES,
};

use crate::{
    acks::Item,
    app::{App, AuthError},
    inlet,
    mailbox::Mailbox,
    session::{
        Done, Identity, Renewal, Work,
        feed::{self, Entry},
        receipts,
    },
};

/// How long a failed read waits before it may be tried again.
const READ_RETRY: Duration = Duration::from_millis(250);
/// How long a lagging replica is given before it is read again, by attempt.
const LAG: Duration = Duration::from_millis(10);
/// Most receipts read at once.
const RECEIPTS_PAGE: usize = 256;

impl Work {
    /// Starts it.
    pub(crate) fn start(self, app: &Arc<App>, me: Identity, mailbox: &Arc<Mailbox>) {
        let (at_work, mailbox) = (Arc::clone(app), Arc::clone(mailbox));
        app.tasks.spawn(async move {
            if let Some(done) = self.run(&at_work, me).await {
                mailbox.done(done);
            }
        });
    }

    async fn run(self, app: &App, me: Identity) -> Option<Done> {
        match self {
            Self::Store(send, ts) => {
                let result = app.deliver(me, &send, ts).await;
                Some(Done::Stored { chat: send.chat, id: send.id, result })
            }
            Self::ReadInbox(read) => Some(Done::Inbox(read_inbox(app, me, read).await)),
            Self::ReadReceipts(after) => Some(Done::Receipts(read_receipts(app, me, after).await)),
            Self::Renew(token) => Some(Done::Renewed(renew(app, me, &token).await)),
            Self::Type(typing) => {
                tell_typing(app, me, typing).await;
                None
            }
            Self::Bury(entry) => {
                bury(app, me, entry).await;
                None
            }
        }
    }
}

async fn read_inbox(app: &App, me: Identity, read: feed::Read) -> Option<feed::Page> {
    if read.attempt > 0 {
        tokio::time::sleep(LAG * u32::from(read.attempt)).await;
    }
    let _permit = app.reads.acquire().await.ok()?;
    let page = if read.leader {
        app.inboxes.read_leader(me.user, me.device, read.from).await.map(|entry| {
            let end = entry.is_none();
            nats::inbox::Page { messages: entry.into_iter().collect(), end }
        })
    } else {
        app.inboxes.read(me.user, me.device, read.from, read.items, MESSAGES_BYTES).await
    };
    match page {
        Ok(page) => {
            let entries = page.messages.into_iter();
            let entries =
                entries.map(|entry| Entry { seq: entry.seq, stored: entry.payload }).collect();
            Some(feed::Page { entries, end: page.end })
        }
        Err(error) => {
            tracing::warn!(user = %me.user, device = %me.device, %error, "inbox not read");
            tokio::time::sleep(READ_RETRY).await;
            None
        }
    }
}

async fn read_receipts(app: &App, me: Identity, after: u64) -> Option<receipts::Page> {
    let _permit = app.reads.acquire().await.ok()?;
    match app.receipts.read_after(me.user, after, RECEIPTS_PAGE).await {
        Ok(page) => {
            let last = page.items.last().map_or(after, |item| item.revision);
            let changes = page.items.iter().filter_map(|item| {
                let key = subject::ReceiptsKey::parse(&subject::bucket_subject(
                    subject::RECEIPTS_BUCKET,
                    &item.key,
                ))?;
                inlet::change(key, &item.value, item.revision)
            });
            Some(receipts::Page { changes: changes.collect(), end: page.end, last })
        }
        Err(error) => {
            tracing::warn!(user = %me.user, %error, "receipts not read");
            tokio::time::sleep(READ_RETRY).await;
            None
        }
    }
}

async fn renew(app: &App, me: Identity, token: &str) -> Renewal {
    match app.authenticate(token).await {
        Ok((access, _)) if access.identity == me => Renewal::Until(access.expires, access.family),
        Ok(_) | Err(AuthError::Refused(_)) => Renewal::Refused,
        Err(AuthError::Unavailable(error)) => {
            tracing::warn!(user = %me.user, %error, "token not checked");
            Renewal::Unavailable
        }
    }
}

async fn tell_typing(app: &App, me: Identity, typing: Typing) {
    let peer = match typing.chat {
        ChatId::User(peer) => peer,
        ChatId::Group(group) => return app.tell_group_typing(me, group, typing.on).await,
    };
    if peer == me.user {
        return;
    }
    // Typing is not worth an error: where anything is unknown, nothing is told.
    let (Ok(Some(mine)), Ok(Some(theirs))) =
        tokio::join!(app.roster.get(me.user), app.roster.get(peer))
    else {
        return;
    };
    if !mine.has_blocked(peer) && !theirs.has_blocked(me.user) {
        let chat = ChatId::User(me.user);
        app.notify(peer, &Notice::Typing { chat, from: me.user, on: typing.on }).await;
    }
}

async fn bury(app: &App, me: Identity, entry: Entry) {
    let subject = subject::inbox(app.bus.shards, me.user, me.device);
    tracing::error!(subject, seq = entry.seq, "a stored message cannot be read");
    let buried = app.bus.jetstream.publish(subject::dead(&subject), entry.stored).await;
    let buried = match buried {
        Ok(stored) => stored.await.map(drop),
        Err(error) => Err(error),
    };
    match buried {
        // No client will ever say that it has it.
        Ok(()) => {
            let Identity { user, device } = me;
            let acked = Acked { user, device, seqs: vec![entry.seq], marks: Vec::new() };
            app.acks.tell(Item::Acked(acked)).await;
        }
        Err(error) => tracing::error!(subject, seq = entry.seq, %error, "nor can it be put aside"),
    }
}
