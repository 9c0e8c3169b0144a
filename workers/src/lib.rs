//! Petrel's workers: what happens after a message was delivered.
//!
//! All of them are one loop, [`runner`], with a handler each: [`receipts`] turns
//! acknowledgements into watermarks and deletes what was delivered, [`presence`]
//! makes "online" and "last seen" of who is connected, [`media`] looks at what was
//! uploaded, [`push`] wakes the devices of who is not connected.

mod config;
mod media;
mod presence;
pub mod push;
mod receipts;
mod runner;
mod running;
mod unavailable;
mod volatile;

pub use config::Config;
pub use media::{MediaOptions, ParseScannerError, ScannerPlace, Sweep, Swept};
pub use running::{Running, start};
