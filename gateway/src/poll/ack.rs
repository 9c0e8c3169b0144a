//! An acknowledgement without a session: what it covers is read in the inbox,
//! and nothing else is known of it.

use std::time::Duration;

use nats::inbox::{ReadError, StoredEntry};
use schemas::{
    ErrorCode,
    event::Acked,
    limits::{MESSAGES_BYTES, WINDOW},
    stored::Head,
};
use tokio::time::{sleep, timeout};

use crate::{
    acks::Item,
    app::App,
    session::{Identity, Refusal, window::Window},
};

/// How long the answer waits for the messages to be gone. They go within
/// milliseconds, but where a worker is late or away.
const FORGETTING: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LAST_PAUSE: Duration = Duration::from_millis(100);

impl App {
    /// Acknowledges all that lies in this device's inbox up to `seq`, some at a
    /// time. Beyond what lies there now, it is clamped to that.
    ///
    /// It returns when the receipts worker has been told of all of it, and has
    /// written the watermarks and deleted the messages unless it is late. So
    /// what the client does next, by whatever gateway, comes after it: a poll
    /// does not bring them again, and a read mark is not cut down.
    ///
    /// # Errors
    /// `unavailable` where the inbox cannot be read or the worker not be told.
    /// Some may be acknowledged then; the same again does the rest.
    pub(crate) async fn acknowledge(&self, me: Identity, seq: u64) -> Result<(), Refusal> {
        let Some(up_to) = self.clamp(me, seq).await? else { return Ok(()) };
        let mut oldest = None;
        let mut from = Some(1);
        while let Some(start) = from {
            let (entries, rest) = self.some_up_to(me, start, up_to).await?;
            from = rest;
            let mut window = Window::default();
            for entry in &entries {
                window.push(entry.seq, Head::parse(&entry.payload).ok());
            }
            let Some(covered) = window.ack(up_to) else { break };
            oldest = oldest.or(covered.seqs.first().copied());
            let Identity { user, device } = me;
            let acked = Acked { user, device, seqs: covered.seqs, marks: covered.marks };
            self.acks.hand_over(Item::Acked(acked)).await?;
        }
        if let Some(oldest) = oldest
            && timeout(FORGETTING, self.forgotten(me, oldest, up_to)).await.is_err()
        {
            tracing::debug!(user = %me.user, device = %me.device, up_to, "not forgotten yet");
        }
        Ok(())
    }

    async fn clamp(&self, me: Identity, seq: u64) -> Result<Option<u64>, Refusal> {
        let _permit = self.read_permit().await?;
        self.inboxes.clamp(me.user, me.device, seq).await.map_err(unread(me))
    }

    /// The next messages of the inbox, without a hole, none beyond `up_to`; and
    /// where there may be more.
    async fn some_up_to(
        &self,
        me: Identity,
        from: u64,
        up_to: u64,
    ) -> Result<(Vec<StoredEntry>, Option<u64>), Refusal> {
        let Identity { user, device } = me;
        let _permit = self.read_permit().await?;
        let page = self.inboxes.read(user, device, from, WINDOW, MESSAGES_BYTES).await;
        let page = page.map_err(unread(me))?;
        let mut entries = page.messages;
        let after = |entries: &[StoredEntry]| entries.last().map_or(from, |last| last.seq + 1);
        if page.end && after(&entries) <= up_to {
            // There should be more: the replica that answered lags.
            let next = self.inboxes.read_leader(user, device, after(&entries)).await;
            match next.map_err(unread(me))? {
                Some(entry) if entry.seq <= up_to => entries.push(entry),
                _ => return Ok((entries, None)),
            }
        }
        let rest = Some(after(&entries)).filter(|next| *next <= up_to);
        entries.retain(|entry| entry.seq <= up_to);
        Ok((entries, rest))
    }

    /// Returns when nothing lies there from `oldest` up to `up_to`.
    async fn forgotten(&self, me: Identity, oldest: u64, up_to: u64) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.inboxes.read_leader(me.user, me.device, oldest).await {
                Ok(Some(entry)) if entry.seq <= up_to => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(user = %me.user, device = %me.device, %error, "not looked");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

fn unread(me: Identity) -> impl Fn(ReadError) -> Refusal {
    move |error| {
        tracing::warn!(user = %me.user, device = %me.device, %error, "inbox not read");
        Refusal::new(ErrorCode::Unavailable, "the inbox does not answer")
    }
}
