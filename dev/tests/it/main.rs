//! Tests with real servers, all in one binary; a module per subject.
#![allow(missing_docs, clippy::unwrap_used)]

mod dev_command;
mod directory;
mod faults;
mod inbox;
mod leases;
mod nats_server;
mod receipts;
mod stack;
mod support;
mod topology;
