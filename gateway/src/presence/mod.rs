//! Presence in the gateway: who is connected here, for the workers to know, and
//! whose presence the sessions here follow.
//!
//! The gateway decides nothing about anybody's presence. It says which sessions
//! it has ([`registry`]), hears what the presence workers make of it, and tells
//! each viewer as much of it as they may know ([`view`]).

mod following;
mod registry;
mod view;
mod watching;

pub(crate) use self::{
    following::Following,
    registry::{Registration, Registry},
    watching::Watching,
};
