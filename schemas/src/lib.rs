//! The contract between Petrel and its clients, as types: wire frames, events,
//! message bodies, identifiers, error codes and close codes.
//!
//! Everything published about the protocol (JSON Schema, AsyncAPI, OpenAPI) is
//! generated from here. This crate does no I/O and knows no other crate.
//!
//! Start with [`client::Frame`] and [`server::Frame`].

pub mod body;
pub mod client;
pub mod close;
pub mod digest;
pub mod error;
pub mod event;
pub mod http;
pub mod id;
mod integer;
pub mod limits;
pub mod publish;
pub mod push;
pub mod server;
mod shape;
pub mod stored;
pub mod time;

pub use body::{Body, RawBody};
pub use close::CloseCode;
pub use digest::Sha256;
pub use error::{ErrorCode, Problem};
pub use id::{ChatId, DeviceId, GatewayId, GroupId, MediaId, MessageId, SessionId, UserId};
pub use push::PushTarget;
pub use time::{Micros, Millis};
