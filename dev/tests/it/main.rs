//! Tests with real servers, all in one binary; a module per subject.
#![allow(missing_docs, clippy::unwrap_used)]

mod bad_input;
mod chat;
mod dev_command;
mod directory;
mod faults;
mod groups;
mod http;
mod inbox;
mod leases;
mod limits;
mod media;
mod media_worker;
mod nats_server;
mod objects;
mod people;
mod poll;
mod presence;
mod push;
mod receipts;
mod senders;
mod stack;
mod support;
mod terminal;
mod tools;
mod topology;
