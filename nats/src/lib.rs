//! Petrel on NATS JetStream: every subject, stream, bucket and consumer is named
//! here and nowhere else, and so are the operations on inboxes.
//!
//! Start with [`Bus`] for the connection, [`Inboxes`] for messages and
//! [`Topology`] for what JetStream has to hold.

pub mod api;
mod bucket;
pub mod bus;
pub mod direct;
pub mod inbox;
mod leader;
pub mod leases;
pub mod media;
pub mod mux;
pub mod options;
pub mod place;
pub mod presence;
pub mod push;
pub mod receipts;
pub mod reconcile;
mod retry;
pub mod sessions;
pub mod subject;
pub mod topology;

pub use bus::Bus;
pub use inbox::Inboxes;
pub use leases::Leases;
pub use media::MediaQueue;
pub use options::NatsOptions;
pub use presence::PresenceKv;
pub use push::PushKv;
pub use receipts::ReceiptsKv;
pub use sessions::Sessions;
pub use topology::Topology;

/// The configuration file of nats-server that Petrel ships, `nats/server.conf`.
pub const SERVER_CONF: &str = include_str!("../server.conf");
