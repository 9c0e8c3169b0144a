//! The people of a run: registered for it, and connected.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Url;
use schemas::{ChatId, DeviceId, Micros, UserId, http::Session, server::Welcome};

use super::{latency::Latency, progress, wire};
use crate::client::{Api, Buffers, Socket, SocketError};

/// Registrations under way at once.
const REGISTERING: usize = 32;
/// Connections being made at once.
const CONNECTING: usize = 64;
/// Longest wait for a welcome or for the backlog's end.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(30);
/// A server's clock this near is the same clock.
const SAME_CLOCK_US: i64 = 500_000;

/// A registered user.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) token: Arc<str>,
}

/// A connected one, whose backlog has come.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) socket: Socket,
    /// Microseconds by which the server's clock is ahead of this machine's.
    pub(super) ahead_us: i64,
}

/// What may wait for somebody who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nothing: it would have been lost or doubled elsewhere.
    Nothing,
    /// Messages that do not matter; they are acknowledged.
    Anything,
}

impl Person {
    /// The chat with this person.
    pub(super) fn chat(&self) -> ChatId {
        ChatId::User(self.user)
    }
}

/// Registers people, evenly over the gateways.
///
/// # Errors
/// When a registration fails.
pub(super) async fn register(gateways: &[Api], count: u32) -> anyhow::Result<Vec<Person>> {
    let run: u32 = rand::random();
    let bar = progress::bar("registering", count.into());
    let people = stream::iter(0..count)
        .map(|n| {
            let api = &gateways[n as usize % gateways.len()];
            let name = format!("load-{run:08x}-{n}");
            let bar = &bar;
            async move {
                let account = api.register(&name, "load").await?;
                bar.inc(1);
                let Session { user, device, access_token, .. } = account.session;
                Ok::<_, anyhow::Error>(Person { user, device, token: access_token.into() })
            }
        })
        .buffered(REGISTERING)
        .try_collect()
        .await
        .context("cannot register people");
    bar.finish_and_clear();
    people
}

/// Connects people, each to the gateway `gateway_of` says; how long each took
/// from the connection to the end of the backlog.
///
/// # Errors
/// When somebody cannot be connected.
pub(super) async fn connect(
    people: &[Person],
    gateway_of: impl Fn(usize) -> Url,
    buffers: Buffers,
    waiting: Waiting,
) -> anyhow::Result<(Vec<Connected>, Latency)> {
    let bar = progress::bar("connecting", people.len() as u64);
    let took = Latency::new();
    let connected = stream::iter(people.iter().enumerate())
        .map(|(n, person)| {
            let (base, bar, took) = (gateway_of(n), &bar, &took);
            async move {
                let started = Instant::now();
                let connected = catch_up(&base, &person.token, buffers, waiting).await?;
                took.record(n, started.elapsed());
                bar.inc(1);
                Ok::<_, anyhow::Error>(connected)
            }
        })
        .buffered(CONNECTING)
        .try_collect()
        .await
        .context("cannot connect people");
    bar.finish_and_clear();
    Ok((connected?, took))
}

/// Connects and waits for the end of the backlog.
///
/// # Errors
/// When it does not come, or something else does.
pub(super) async fn catch_up(
    base: &Url,
    token: &str,
    buffers: Buffers,
    waiting: Waiting,
) -> anyhow::Result<Connected> {
    let (mut socket, welcome) = hello(base, token, buffers).await?;
    let ahead_us = ahead(&welcome);
    loop {
        let text = socket.text(CATCH_UP_WITHIN).await?;
        match wire::parse(&text)? {
            wire::Frame::CaughtUp => return Ok(Connected { socket, ahead_us }),
            wire::Frame::Receipts(_) | wire::Frame::Other => {}
            wire::Frame::Messages(items) if waiting == Waiting::Anything => {
                let last = items.last().map(|item| item.seq);
                socket.send_text(wire::ack(last.unwrap_or_default())).await?;
            }
            other => bail!("expected caught_up, not {other:?}"),
        }
    }
}

/// Connects and says hello.
///
/// # Errors
/// When the welcome does not come.
pub(super) async fn hello(
    base: &Url,
    token: &str,
    buffers: Buffers,
) -> Result<(Socket, Welcome), SocketError> {
    let mut socket = Socket::connect(base, buffers).await?;
    socket.send_text(wire::hello(token)).await?;
    match socket.frame(CATCH_UP_WITHIN).await? {
        schemas::server::Frame::Welcome(welcome) => Ok((socket, welcome)),
        other => Err(SocketError::Unexpected(format!("{other:?}"))),
    }
}

fn ahead(welcome: &Welcome) -> i64 {
    let ahead = welcome.now.0 * 1000 - Micros::now().0;
    if ahead.abs() < SAME_CLOCK_US { 0 } else { ahead }
}
