//! Petrel's directory of users and devices.
