//! Many events folded into the few facts they amount to. Pure: it decides what
//! is owed to whom, others carry it out.

use std::collections::{BTreeMap, HashMap};

use schemas::{
    ChatId, DeviceId, Micros, UserId,
    event::{Acked, MarkedRead, ReadMarks, ReceiptsBatch, Watermark, watermarked_chat},
};

/// One watermark: how far `reader` got with what `sender` wrote to `chat`,
/// which is named from the sender's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ReceiptKey {
    pub(crate) sender: UserId,
    pub(crate) chat: ChatId,
    pub(crate) reader: UserId,
}

impl ReceiptKey {
    /// The watermark that a reader's mark in a chat moves, if it moves one.
    fn of(reader: UserId, chat: ChatId, from: UserId) -> Option<Self> {
        let chat = watermarked_chat(reader, chat, from)?;
        Some(Self { sender: from, chat, reader })
    }

    /// The key in the receipts bucket.
    pub(crate) fn subject(&self) -> String {
        nats::subject::receipt_key(self.sender, self.chat, self.reader)
    }
}

/// What a batch says about one watermark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Acknowledged up to here, which is a fact.
    pub(crate) delivered: Micros,
    /// Read up to here, as clients say and the sender may know.
    pub(crate) read: Micros,
}

impl Claim {
    /// The watermark once this is known too: it never goes back, and `read`
    /// never beyond `delivered`.
    pub(crate) fn raise(self, stored: Watermark) -> Watermark {
        let delivered = stored.delivered.max(self.delivered);
        stored.join(Watermark { delivered, read: self.read.min(delivered) })
    }
}

/// One read-sync value: how far a user has read one chat on any device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ReadKey {
    pub(crate) user: UserId,
    pub(crate) chat: ChatId,
}

impl ReadKey {
    /// The watermark that bounds what may be read of this sender here. `from`
    /// comes out of a [`ReadClaim`], where only senders with a watermark are.
    pub(crate) fn watermark(&self, from: UserId) -> ReceiptKey {
        let chat = match self.chat {
            ChatId::User(_) => ChatId::User(self.user),
            group @ ChatId::Group(_) => group,
        };
        ReceiptKey { sender: from, chat, reader: self.user }
    }

    /// The key in the receipts bucket.
    pub(crate) fn subject(&self) -> String {
        nats::subject::read_key(self.user, self.chat)
    }
}

/// What a batch says about one read-sync value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadClaim {
    /// Per sender, as far as clients say.
    pub(crate) marks: BTreeMap<UserId, Micros>,
    /// The devices that said so: nothing if there were several.
    pub(crate) device: Option<DeviceId>,
}

impl ReadClaim {
    /// The value once this is known too. `delivered` bounds each sender's mark.
    pub(crate) fn raise(
        &self,
        stored: &ReadMarks,
        delivered: impl Fn(UserId) -> Micros,
    ) -> ReadMarks {
        let mut raised = stored.clone();
        for (from, claimed) in &self.marks {
            let read = (*claimed).min(delivered(*from));
            let known = stored.marks.get(from).copied().unwrap_or_default();
            if read > known {
                raised.marks.insert(*from, read);
            }
        }
        if raised.marks != stored.marks {
            let alone = stored.marks.is_empty() || stored.device == self.device;
            raised.device = self.device.filter(|_| alone);
        }
        raised
    }

    fn add(&mut self, device: DeviceId, from: UserId, read: Micros) {
        let alone = self.marks.is_empty() || self.device == Some(device);
        self.device = Some(device).filter(|_| alone);
        let mark = self.marks.entry(from).or_default();
        *mark = read.max(*mark);
    }
}

/// One device's inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct InboxKey {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
}

impl From<&Acked> for InboxKey {
    fn from(acked: &Acked) -> Self {
        Self { user: acked.user, device: acked.device }
    }
}

/// What a batch of events amounts to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold {
    /// Watermarks to raise.
    pub(crate) receipts: HashMap<ReceiptKey, Claim>,
    /// Read-sync values to raise, after the watermarks that bound them.
    pub(crate) reads: HashMap<ReadKey, ReadClaim>,
    /// Messages to remove, after both: runs in rising order, each once.
    pub(crate) acked: HashMap<InboxKey, Vec<Run>>,
}

/// The inbox positions of one acknowledgement, rising: all that a session was
/// sent, without a hole, since its acknowledgement before. What lies between
/// two runs may belong to a third that has not come yet, so they stay apart.
pub(crate) type Run = Vec<u64>;

/// Folds a batch; neither order nor repetition of events matters.
pub(crate) fn fold<'a>(events: impl IntoIterator<Item = &'a ReceiptsBatch>) -> Fold {
    let mut fold = Fold::default();
    for event in events {
        event.acked.iter().for_each(|acked| fold.add_acked(acked));
        event.read.iter().for_each(|read| fold.add_read(read));
    }
    for runs in fold.acked.values_mut() {
        runs.sort_unstable();
        runs.dedup();
    }
    fold
}

impl Fold {
    fn add_acked(&mut self, acked: &Acked) {
        for mark in &acked.marks {
            if let Some(key) = ReceiptKey::of(acked.user, mark.chat, mark.from) {
                let claim = self.receipts.entry(key).or_default();
                claim.delivered = claim.delivered.max(mark.ts);
            }
        }
        if !acked.seqs.is_empty() {
            let mut run = acked.seqs.clone();
            run.sort_unstable();
            self.acked.entry(acked.into()).or_default().push(run);
        }
    }

    fn add_read(&mut self, marked: &MarkedRead) {
        for (from, mark) in &marked.marks {
            let Some(key) = ReceiptKey::of(marked.user, marked.chat, *from) else { continue };
            let claim = self.receipts.entry(key).or_default();
            // The proof is as good as the `Acked` it speaks of.
            claim.delivered = claim.delivered.max(mark.acked);
            if marked.public {
                claim.read = claim.read.max(mark.read);
            }
            let reads = ReadKey { user: marked.user, chat: marked.chat };
            self.reads.entry(reads).or_default().add(marked.device, *from, mark.read);
        }
    }
}

#[cfg(test)]
mod tests;
