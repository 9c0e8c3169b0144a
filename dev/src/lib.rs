//! A whole local Petrel in one command, and the tools that use it: terminal chat, load generator.
//!
//! [`NatsCluster`] and [`NatsServer`] are nats-servers of one's own. Every part
//! is a child process ([`child`]) that is killed with the process that started
//! it; our own parts are played by the same binary again ([`Program`], [`enter`]).

mod child;
mod enter;
mod error;
mod folder;
mod log;
mod nats_server;
mod part;
mod ports;
mod program;

pub use enter::enter;
pub use error::StartError;
pub use nats_server::{Binary, NatsCluster, NatsClusterBuilder, NatsServer, SyncMode, VERSION};
pub use program::Program;
