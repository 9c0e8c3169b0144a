//! The gateway: HTTP and WebSocket sessions in front of the inboxes.
//!
//! A [`session`] is decided in pure code; [`socket`] carries it out. What
//! sessions share is the [`app::App`]. No state here survives a gateway, and
//! none has to: any other one serves the next connection.

mod absence;
mod acks;
mod address;
mod app;
mod config;
mod connection;
mod delivery;
mod group;
mod http;
mod inlet;
mod limits;
mod listening;
mod mailbox;
mod media;
mod password;
mod poll;
mod presence;
mod roster;
mod serve;
mod session;
mod socket;
mod start;
mod token;
mod upgrade;
mod work;

pub use address::{ForwardedBy, Networks, ProxyOptions};
pub use config::{Config, SigningKey};
pub use limits::{Delay, LimitOptions, Rate, Switch, TermsError};
pub use media::{MediaOptions, MediaTypes};
pub use start::{Running, start};
