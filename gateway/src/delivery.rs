//! A message on its way into its recipients' inboxes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use nats::inbox::{StoreError, Stored};
use schemas::{
    ChatId, DeviceId, ErrorCode, MessageId, Micros, UserId,
    client::Send,
    server::Sent,
    stored::{Head, StoredMessage},
};
use store::Audience;

use crate::{
    app::App,
    roster::Entry,
    session::{Identity, Refusal},
};

/// One copy of a message, as it lies in the inboxes of all devices of one user.
struct Copy<'a> {
    from: UserId,
    id: &'a MessageId,
    stored: Bytes,
}

impl App {
    /// Stores a message in every recipient's inbox; what the sender is told.
    ///
    /// # Errors
    /// The [`Refusal`] for the sender.
    pub(crate) async fn deliver(
        &self,
        me: Identity,
        send: &Send,
        ts: Micros,
    ) -> Result<Sent, Refusal> {
        self.limits.sends.take(me.user)?;
        let peer = match send.chat {
            ChatId::User(peer) => peer,
            ChatId::Group(group) => return self.deliver_to_group(me, send, group, ts).await,
        };
        let (mine, theirs) = tokio::try_join!(self.known(me.user), self.known(peer))?;
        if mine.has_blocked(peer) {
            return Err(Refusal::new(ErrorCode::Blocked, "you have blocked this user"));
        }
        let is_blocked = theirs.has_blocked(me.user);
        if let Some(media) = send.body.media() {
            let to = (!is_blocked).then_some(Audience::User(peer));
            self.pass_on(me.user, media, to).await?;
        }
        let copy =
            |chat| Copy { from: me.user, id: &send.id, stored: encode(send, chat, me.user, ts) };
        let to_peer = async {
            // A blocked sender sees an ordinary `sent`, and nothing is stored.
            if is_blocked {
                return Ok(None);
            }
            let copy = copy(ChatId::User(me.user));
            self.store(peer, devices(&theirs, None), &copy).await
        };
        let to_own = async {
            // A note to self is its own copy.
            if peer != me.user && mine.devices.len() > 1 {
                let copy = copy(ChatId::User(peer));
                let stored = self.store(me.user, devices(&mine, Some(me.device)), &copy).await;
                if let Err(refusal) = stored {
                    // It never fails the send.
                    tracing::debug!(user = %me.user, code = %refusal.code, "own copy not stored");
                }
            }
        };
        let (earlier, ()) = tokio::join!(to_peer, to_own);
        let ts = earlier?.unwrap_or(ts);
        metrics::counter!("petrel_messages_sent_total").increment(1);
        Ok(Sent { id: send.id.clone(), chat: send.chat, ts, full: Vec::new() })
    }

    /// What is known of a user who must exist.
    pub(crate) async fn known(&self, user: UserId) -> Result<Arc<Entry>, Refusal> {
        match self.roster.get(user).await {
            Ok(Some(entry)) => Ok(entry),
            Ok(None) => Err(Refusal::new(ErrorCode::NotFound, "there is no such user")),
            Err(error) => {
                tracing::warn!(%user, %error, "directory unavailable");
                Err(Refusal::new(ErrorCode::Unavailable, "the directory does not answer"))
            }
        }
    }

    /// Stores a copy for every device at once. It counts as stored if some
    /// device has it and none failed but for being full; the `ts` of an earlier
    /// copy with the same id, where one still lies there.
    async fn store(
        &self,
        user: UserId,
        devices: impl Iterator<Item = DeviceId>,
        copy: &Copy<'_>,
    ) -> Result<Option<Micros>, Refusal> {
        let stores = devices.map(|device| {
            let dedupe_id = format!("{}.{}.{device}", copy.from, copy.id);
            let stored = copy.stored.clone();
            async move { self.inboxes.store(user, device, &dedupe_id, stored).await }
        });
        let (mut stored, mut full, mut earlier) = (0, 0, None);
        for result in join_all(stores).await {
            match result {
                Ok(Stored { seq, duplicate }) => {
                    stored += 1;
                    if duplicate && earlier.is_none() {
                        earlier = Some(seq);
                    }
                }
                Err(StoreError::Full) => full += 1,
                Err(error) => {
                    tracing::warn!(%user, %error, "inbox unavailable");
                    return Err(Refusal::new(ErrorCode::Unavailable, "the inbox does not answer"));
                }
            }
        }
        if stored == 0 && full > 0 {
            return Err(Refusal::new(ErrorCode::InboxFull, "the recipient's inbox is full"));
        }
        Ok(match earlier {
            Some(seq) => self.ts_at(user, seq).await,
            None => None,
        })
    }

    /// The `ts` of a message that still lies in an inbox.
    pub(crate) async fn ts_at(&self, user: UserId, seq: u64) -> Option<Micros> {
        let stored = self.inboxes.get(user, seq).await.ok().flatten()?;
        Head::parse(&stored).ok().map(|head| head.ts)
    }
}

fn devices(entry: &Entry, except: Option<DeviceId>) -> impl Iterator<Item = DeviceId> {
    let ids = entry.devices.iter().map(|(device, _)| *device);
    ids.filter(move |device| Some(*device) != except)
}

fn encode(send: &Send, chat: ChatId, from: UserId, ts: Micros) -> Bytes {
    let message = StoredMessage {
        id: send.id.clone(),
        chat,
        from,
        ts,
        after: send.after,
        body: send.body.clone(),
    };
    message.to_json().into()
}
