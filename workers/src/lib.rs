//! Petrel's workers: what happens after a message was delivered.
//!
//! All of them are one loop, [`runner`], with a handler each. Today there is
//! one: [`receipts`], which turns acknowledgements into watermarks and deletes
//! what was delivered.

mod config;
mod receipts;
mod runner;
mod running;
mod volatile;

pub use config::Config;
pub use running::{Running, start};
