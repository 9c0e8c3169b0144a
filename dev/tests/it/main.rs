//! Tests with real servers, all in one binary; a module per subject.
#![allow(missing_docs, clippy::unwrap_used)]

mod nats_server;
mod support;
