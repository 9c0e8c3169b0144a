//! The push worker: it wakes devices that are not connected.

pub mod sender;
