//! A whole local Petrel in one command, and the tools that use it: terminal chat, load generator.
//!
//! A [`Stack`] is all of it: nats-servers ([`NatsCluster`]), [`Gateway`]s and
//! [`Worker`]s. Each is a [`Process`], killed with the process that started it;
//! gateways and workers are this binary again ([`enter`]). [`command`] is
//! `cargo dev`: a stack, supervised. The [`client`] speaks the protocol, [`load`]
//! measures with it, and a [`push_receiver`] is what push providers are elsewhere.

pub mod chat;
pub mod client;
pub mod load;
pub mod push_receiver;

mod child;
mod command;
mod enter;
mod error;
mod folder;
mod log;
mod nats_server;
mod ports;
mod process;
mod program;
mod role;
mod stack;
mod supervisor;

pub use command::main as command;
pub use enter::{EX_USAGE, enter};
pub use error::StartError;
pub use nats_server::{Binary, NatsCluster, NatsClusterBuilder, NatsServer, SyncMode, VERSION};
pub use process::Process;
pub use program::Program;
pub use stack::{Gateway, Pids, Stack, StackBuilder, Worker};
