//! Petrel's workers: receipts.
