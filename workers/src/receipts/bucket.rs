//! What the receipts worker asks of the stores, so that its tests can stand in
//! for them, with failures and other workers between any two steps.

use std::future::Future;

use bytes::Bytes;
use schemas::{DeviceId, UserId};
