//! The wire, byte for byte: what is said, what is understood, what is refused,
//! and that the published documents say the same.
//!
//! Snapshots are reviewed with `cargo insta review`, or by reading their diff:
//! a changed byte is a changed protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod bodies;
mod codes;
mod frames;
mod ids;
mod people;
mod properties;
mod published;
mod push;
mod refusals;
mod stored;
