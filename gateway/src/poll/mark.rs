//! Reading that is told without a session.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nats::{api::Failure, receipts::Revised, subject};
use schemas::{
    ErrorCode, Micros, UserId,
    client::Read,
    event::{MarkedRead, ReadMark, Watermark, watermarked_chat},
};

use crate::{
    acks::Item,
    app::App,
    session::{Identity, Refusal},
};

/// Watermarks that one call looks at at a time.
const PROOFS_AT_A_TIME: usize = 16;

impl App {
    /// Tells the receipts worker that this user has read so far. A session
    /// remembers what it acknowledged; here the watermarks are the proof.
    ///
    /// # Errors
    /// `unavailable` where they cannot be read or the worker not be told.
    pub(crate) async fn mark_read(&self, me: Identity, read: Read) -> Result<(), Refusal> {
        let Read { chat, marks } = read;
        if marks.is_empty() {
            return Ok(());
        }
        let public = self.known(me.user).await?.settings.read_receipts;
        let proofs = marks.into_iter().map(async |(sender, read)| {
            let acked = match watermarked_chat(me.user, chat, sender) {
                Some(theirs) => {
                    let key = subject::receipt_key(sender, theirs, me.user);
                    self.delivered(&key, read).await?
                }
                None => Micros::default(),
            };
            Ok::<(UserId, ReadMark), Refusal>((sender, ReadMark { read, acked }))
        });
        let marks = stream::iter(proofs).buffer_unordered(PROOFS_AT_A_TIME).try_collect().await?;
        let Identity { user, device } = me;
        let marked = MarkedRead { user, device, chat, marks, public };
        Ok(self.acks.hand_over(Item::Read(marked)).await?)
    }

    /// How far this watermark shows messages delivered. A replica's word counts
    /// where it is enough for `read`.
    async fn delivered(&self, key: &str, read: Micros) -> Result<Micros, Refusal> {
        let _permit = self.read_permit().await?;
        let shown = delivered(self.receipts.get(key).await.map_err(unread)?);
        if shown >= read {
            return Ok(shown);
        }
        Ok(delivered(self.receipts.get_newest(key).await.map_err(unread)?))
    }
}

fn delivered(found: Option<Revised>) -> Micros {
    let watermark = found.and_then(|found| serde_json::from_slice(&found.value).ok());
    watermark.map_or(Micros::default(), |watermark: Watermark| watermark.delivered)
}

fn unread(error: Failure) -> Refusal {
    tracing::warn!(%error, "receipts not read");
    Refusal::new(ErrorCode::Unavailable, "the receipts do not answer")
}
