//! Names. Only typed ids get into a subject, so nothing a client writes does.

use std::fmt::{self, Write as _};

use schemas::{ChatId, DeviceId, GatewayId, SessionId, UserId};

/// A shard number, `0..P`.
pub type Shard = u32;

/// How many shards the inboxes are spread over; fixed when the streams are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(u32);

impl Shards {
    /// The default of a small cluster.
    pub const DEFAULT: Self = Self(8);
    /// The most a cluster may have.
    pub const MAX: u32 = 256;

    /// `count` shards, from 1 to 256.
    pub fn new(count: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&count).then_some(Self(count))
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.0
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        0..self.0
    }

    /// The shard of a user's inboxes: FNV-1a-32 modulo P, which is what
    /// nats-server's own `partition()` computes.
    pub fn of(self, user: UserId) -> Shard {
        let mut hash = Fnv1a::default();
        // Cannot fail, and spares a string for every message.
        let _ = write!(hash, "{user}");
        hash.0 % self.0
    }
}

struct Fnv1a(u32);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl fmt::Write for Fnv1a {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        Ok(())
    }
}

/// The stream of one shard's inboxes.
pub fn inbox_stream(shard: Shard) -> String {
    format!("INBOX_{shard}")
}

/// The shard whose inboxes this stream holds, if it is such a stream.
pub(crate) fn inbox_shard(stream: &str) -> Option<Shard> {
    stream.strip_prefix("INBOX_")?.parse().ok()
}

/// All inboxes of a shard.
pub fn inbox_wildcard(shard: Shard) -> String {
    format!("inbox.{shard}.>")
}

/// One device's inbox.
pub fn inbox(shards: Shards, user: UserId, device: DeviceId) -> String {
    format!("inbox.{}.{user}.{device}", shards.of(user))
}

/// Reads the subject of [`inbox`] back.
pub fn inbox_of(subject: &str) -> Option<(UserId, DeviceId)> {
    let (_, owner) = subject.strip_prefix("inbox.")?.split_once('.')?;
    let (user, device) = owner.split_once('.')?;
    Some((user.parse().ok()?, device.parse().ok()?))
}

/// What the subjects of all of a user's inboxes begin with.
pub(crate) fn inboxes_prefix(shards: Shards, user: UserId) -> String {
    format!("inbox.{}.{user}.", shards.of(user))
}

/// All inboxes of a shard, told apart by user and device.
pub(crate) fn inbox_pattern(shard: Shard) -> String {
    format!("inbox.{shard}.*.*")
}

/// Where a shard's stored messages are republished: [`live`] of each.
pub(crate) const INBOX_REPUBLISHED: &str = "user.{{wildcard(1)}}.message.{{wildcard(2)}}";

/// Where one device's stored messages are republished.
pub fn live(user: UserId, device: DeviceId) -> String {
    format!("user.{user}.message.{device}")
}

/// All that one user's sessions are told, in one subscription (ADR 8): messages
/// for any of the user's devices, receipts, reading, notices.
pub fn user_wildcard(user: UserId) -> String {
    format!("user.{user}.>")
}

/// What something told to a user's sessions is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// See [`live`].
    Message(DeviceId),
    /// A change of the receipts bucket.
    Changed(ReceiptsKey),
    /// See [`notice`].
    Notice,
}

impl Told {
    /// Reads the subject of something that [`user_wildcard`] brought.
    pub fn parse(subject: &str) -> Option<Self> {
        let (_, about) = subject.strip_prefix("user.")?.split_once('.')?;
        match about.split_once('.') {
            Some(("message", device)) => device.parse().ok().map(Self::Message),
            Some(_) => ReceiptsKey::parse(subject).map(Self::Changed),
            None => (about == "notice").then_some(Self::Notice),
        }
    }
}

/// The work queue of the receipts workers.
pub const RECEIPTS_STREAM: &str = "RECEIPTS";
/// Its subject.
pub const RECEIPTS: &str = "receipts.batch";
/// All that it takes.
pub(crate) const RECEIPTS_WILDCARD: &str = "receipts.>";
/// The durable consumer that all receipts workers share.
pub const RECEIPTS_CONSUMER: &str = "receipts";

/// The work queue of the media workers.
pub const MEDIA_STREAM: &str = "MEDIA";
/// Its subject.
pub const MEDIA_ARRIVED: &str = "media.arrived";
/// All that it takes.
pub(crate) const MEDIA_WILDCARD: &str = "media.>";
/// The durable consumer that all media workers share.
pub const MEDIA_CONSUMER: &str = "media";

/// The bucket of watermarks; its stream is `KV_receipts`.
pub const RECEIPTS_BUCKET: &str = "receipts";
/// Where the bucket of watermarks is republished.
pub(crate) const RECEIPTS_REPUBLISHED: &str = "user.>";
/// The bucket of the embedded directory.
pub const DIRECTORY_BUCKET: &str = "directory";
/// The bucket of the gateways' leases.
pub const GATEWAYS_BUCKET: &str = "gateways";

/// The durable consumer, on each inbox stream, that all push workers share.
pub const PUSH_CONSUMER: &str = "push";
/// The bucket of what devices were told while they were away.
pub const PUSH_BUCKET: &str = "push";

/// The bucket of the registry: who is connected, where.
pub const SESSIONS_BUCKET: &str = "sessions";
/// The stream behind it.
pub const SESSIONS_STREAM: &str = "KV_sessions";
/// The durable consumer of the registry that all presence workers share.
pub const SESSIONS_CONSUMER: &str = "presence";
/// All sessions in the registry, without what gateways say of themselves.
pub(crate) const SESSIONS_PATTERN: &str = "$KV.sessions.*.*.*.*";
/// The stream behind [`GATEWAYS_BUCKET`].
pub const GATEWAYS_STREAM: &str = "KV_gateways";
/// The durable consumer of the leases that all presence workers share.
pub const GATEWAYS_CONSUMER: &str = "presence";
/// The bucket of who is online, and when who is not was last seen.
pub const PRESENCE_BUCKET: &str = "presence";
/// Where the bucket of presence is republished: [`presence`] of each user.
pub(crate) const PRESENCE_REPUBLISHED: &str = "presence.>";

/// The stream behind a bucket.
pub fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// The subject of a bucket's key.
pub fn bucket_subject(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// The key of how far `reader` got with the messages of `sender` in `chat`
/// (`chat` from the sender's point of view).
pub fn receipt_key(sender: UserId, chat: ChatId, reader: UserId) -> String {
    format!("{sender}.receipt.{chat}.{reader}")
}

/// The key of how far a user has read `chat` on any device.
pub fn read_key(user: UserId, chat: ChatId) -> String {
    format!("{user}.read.{chat}")
}

/// The key of a gateway's lease.
pub fn lease_key(gateway: GatewayId) -> String {
    gateway.to_string()
}

/// Where one connection of a device is. Its key in the registry is
/// `<gateway>.<user>.<device>.<session>`, so that wildcards find all sessions
/// of a gateway, and all of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seat {
    /// The gateway that serves it.
    pub gateway: GatewayId,
    /// Whose it is.
    pub user: UserId,
    /// Which device's.
    pub device: DeviceId,
    /// Which of the device's connections.
    pub session: SessionId,
}

impl Seat {
    /// The key in the registry.
    pub fn key(&self) -> String {
        let Self { gateway, user, device, session } = self;
        format!("{gateway}.{user}.{device}.{session}")
    }

    /// Reads a key back, from the subject of its bucket.
    pub fn parse(subject: &str) -> Option<Self> {
        let mut tokens = subject.strip_prefix("$KV.sessions.")?.split('.');
        let seat = Self {
            gateway: tokens.next()?.parse().ok()?,
            user: tokens.next()?.parse().ok()?,
            device: tokens.next()?.parse().ok()?,
            session: tokens.next()?.parse().ok()?,
        };
        tokens.next().is_none().then_some(seat)
    }
}

/// Reads the gateway out of the subject of its lease.
pub fn lease_gateway(subject: &str) -> Option<GatewayId> {
    subject.strip_prefix("$KV.gateways.")?.parse().ok()
}

/// Where changes of one user's presence are republished.
pub fn presence(user: UserId) -> String {
    format!("presence.{user}")
}

/// What a key of the receipts bucket is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptsKey {
    /// See [`receipt_key`].
    Receipt {
        /// From the sender's point of view.
        chat: ChatId,
        /// Who received or read.
        reader: UserId,
    },
    /// See [`read_key`].
    Read {
        /// The chat that was read.
        chat: ChatId,
    },
}

impl ReceiptsKey {
    /// Reads a key back, from the bucket's subject or from where it was republished.
    pub fn parse(subject: &str) -> Option<Self> {
        let rest =
            subject.strip_prefix("$KV.receipts.").or_else(|| subject.strip_prefix("user."))?;
        let mut tokens = rest.split('.').skip(1);
        let key = match (tokens.next()?, tokens.next()?, tokens.next()) {
            ("receipt", chat, Some(reader)) => {
                Self::Receipt { chat: chat.parse().ok()?, reader: reader.parse().ok()? }
            }
            ("read", chat, None) => Self::Read { chat: chat.parse().ok()? },
            _ => return None,
        };
        tokens.next().is_none().then_some(key)
    }
}

/// Everything in the receipts bucket that one user's sessions are told.
pub fn receipts_of(user: UserId) -> String {
    format!("$KV.receipts.{user}.>")
}

/// Where a [`schemas::event::Notice`] for all of a user's sessions goes.
pub fn notice(user: UserId) -> String {
    format!("user.{user}.notice")
}

/// Told when a user's devices, blocks or settings changed, so caches let go.
pub fn changed(user: UserId) -> String {
    format!("changed.{user}")
}

/// Reads the subject of [`changed`] back.
pub fn changed_of(subject: &str) -> Option<UserId> {
    subject.strip_prefix("changed.")?.parse().ok()
}

/// All of [`changed`].
pub const CHANGED_WILDCARD: &str = "changed.>";

/// Where every gateway is asked a [`schemas::event::Barrier`].
pub const BARRIER: &str = "barrier";

/// The stream of events nobody could decode.
pub const DEAD_STREAM: &str = "DEAD";

/// All that it takes.
pub(crate) const DEAD_WILDCARD: &str = "dead.>";

/// Where an undecodable event from this subject goes.
pub fn dead(subject: &str) -> String {
    format!("dead.{subject}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_keys_are_read_back() {
        let (alice, bob) = (UserId::mint(), UserId::mint());
        let key = receipt_key(alice, ChatId::User(bob), bob);
        let receipt = ReceiptsKey::Receipt { chat: ChatId::User(bob), reader: bob };
        assert_eq!(ReceiptsKey::parse(&bucket_subject(RECEIPTS_BUCKET, &key)), Some(receipt));
        assert_eq!(ReceiptsKey::parse(&format!("user.{key}")), Some(receipt));
        let read = ReceiptsKey::Read { chat: ChatId::User(bob) };
        assert_eq!(
            ReceiptsKey::parse(&format!("user.{}", read_key(alice, ChatId::User(bob)))),
            Some(read)
        );
        assert_eq!(ReceiptsKey::parse(&notice(alice)), None);
        assert_eq!(Told::parse(&format!("user.{key}")), Some(Told::Changed(receipt)));
        assert_eq!(Told::parse(&notice(alice)), Some(Told::Notice));
        let device = DeviceId::mint();
        assert_eq!(Told::parse(&live(alice, device)), Some(Told::Message(device)));
        assert_eq!(Told::parse("user.a.b"), None);
    }

    #[test]
    fn registry_keys_are_read_back() {
        let seat = Seat {
            gateway: GatewayId::mint(),
            user: UserId::mint(),
            device: DeviceId::mint(),
            session: SessionId::mint(),
        };
        let subject = bucket_subject(SESSIONS_BUCKET, &seat.key());
        assert_eq!(Seat::parse(&subject), Some(seat));
        assert_eq!(Seat::parse(&format!("{subject}.more")), None);
        let said_of_itself = bucket_subject(SESSIONS_BUCKET, &seat.gateway.to_string());
        assert_eq!(Seat::parse(&said_of_itself), None);
        let lease = bucket_subject(GATEWAYS_BUCKET, &lease_key(seat.gateway));
        assert_eq!(lease_gateway(&lease), Some(seat.gateway));
    }

    #[test]
    fn fnv_matches_the_reference_vectors() {
        let hash = |text: &str| {
            let mut hash = Fnv1a::default();
            hash.write_str(text).map(|()| hash.0)
        };
        assert_eq!(hash(""), Ok(0x811c_9dc5));
        assert_eq!(hash("a"), Ok(0xe40c_292c));
        assert_eq!(hash("foobar"), Ok(0xbf9c_f968));
    }
}
