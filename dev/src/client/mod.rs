//! A client of Petrel in Rust, for the tests, the terminal chat and the load
//! generator.
//!
//! Three layers, each usable alone:
//! - [`Api`] and [`Account`]: the HTTP calls.
//! - [`Socket`]: one WebSocket, frame by frame, for tests of bad input.
//! - [`Client`] and [`Events`]: a session that keeps itself alive. What it does
//!   is decided by [`session::Session`], which knows no I/O.

mod account;
mod connection;
mod groups;
mod run;
pub mod session;
mod socket;
mod timeline;

pub use account::{Account, Api, ApiError};
pub use connection::{Acks, Client, ClientError, Ended, Events, Options};
pub use session::{Event, Saved, StopReason, Tokens, Unsent};
pub use socket::{Buffers, Received, Socket, SocketError};
pub use timeline::{Place, Tick, Timeline, Watermarks};
