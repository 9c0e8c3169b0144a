//! Ports for parts that keep theirs over a restart.

use std::{
    collections::HashSet,
    io,
    net::{Ipv4Addr, TcpListener},
    sync::Mutex,
};

use rand::RngExt as _;

use crate::child::lock;

/// Below what operating systems hand out by themselves (from 32,768 on Linux).
/// A client that tries again and again to reach a dead server on a port of that
/// range ends up connected to itself, and the server cannot come back.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// How many are tried.
const ATTEMPTS: usize = 1_000;

/// Those this process has given out.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A loopback port where nobody listens now. Another process may still take it
/// before it is used, so a caller tries again with another one then.
pub(crate) fn pick() -> io::Result<u16> {
    let mut given = lock(&GIVEN);
    let given = given.get_or_insert_default();
    for _ in 0..ATTEMPTS {
        let port = rand::rng().random_range(RANGE);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port found"))
}
