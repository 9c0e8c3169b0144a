//! This gateway's lease: while it lasts the others wait for this gateway before
//! they answer for a change of a group, and so what it remembers is exact.
//!
//! Once it may have ended they do not wait any more. So nothing that depends on
//! who is in a group is begun from then on, and what was begun is given up.

use std::{sync::Arc, time::Duration};

use nats::{Leases, api::Failure};
use schemas::GatewayId;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// A lease is renewed so many times within its life.
const RENEWALS: u32 = 3;
/// The pause before a renewal that failed is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// By how much the server's clock may run faster than this one while a lease lasts.
const DRIFT: Duration = Duration::from_millis(500);
/// How long the first lease is tried for.
const FIRST: Duration = Duration::from_secs(30);

/// The lease, as all of the gateway sees it; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    term: watch::Receiver<Option<Term>>,
}

/// Keeps the lease.
#[derive(Debug)]
pub(super) struct Keeper<O> {
    office: O,
    life: Duration,
    term: watch::Sender<Option<Term>>,
}

/// The time from when a lease was taken to when it was not renewed.
#[derive(Debug, Clone)]
pub(super) struct Term {
    /// For certain until then; later with every renewal.
    until: Arc<watch::Sender<Instant>>,
    over: CancellationToken,
}

/// There is no lease, or none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is cut off from the others")]
pub(crate) struct Lapsed;

/// Where leases are taken; a trait for the tests' sake.
pub(super) trait Office: Send + Sync + 'static {
    /// Takes the lease, or renews it.
    fn renew(&self, life: Duration) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Gives it up.
    fn end(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// This gateway, at the bucket of leases.
#[derive(Debug)]
pub(super) struct AtBucket {
    /// The bucket.
    pub(super) leases: Leases,
    /// This gateway.
    pub(super) gateway: GatewayId,
    /// Its name.
    pub(super) name: String,
}

impl Office for AtBucket {
    async fn renew(&self, life: Duration) -> Result<(), Failure> {
        self.leases.renew(self.gateway, &self.name, life).await
    }

    async fn end(&self) -> Result<(), Failure> {
        self.leases.end(self.gateway).await
    }
}

impl Lease {
    /// Whether it is held: the others wait for this gateway.
    pub(crate) fn is_held(&self) -> bool {
        self.term.borrow().as_ref().is_some_and(|term| term.check().is_ok())
    }

    /// Returns when it was lost, or taken again, since the last call.
    pub(crate) async fn changed(&mut self) {
        if self.term.changed().await.is_err() {
            // Nobody keeps it any more.
            std::future::pending().await
        }
    }

    /// Does something that may only go on for as long as the lease does.
    ///
    /// # Errors
    /// [`Lapsed`] when there is none, or it ends before the work does.
    pub(super) async fn while_held<W: Future>(
        &self,
        work: impl FnOnce(Term) -> W,
    ) -> Result<W::Output, Lapsed> {
        let term = self.term.borrow().clone().ok_or(Lapsed)?;
        term.check()?;
        let over = term.over.clone();
        tokio::select! {
            biased;
            () = over.cancelled() => Err(Lapsed),
            done = work(term) => Ok(done),
        }
    }
}

impl Term {
    /// For who is about to act: the task that ends the term may be late.
    pub(super) fn check(&self) -> Result<(), Lapsed> {
        let is_over = self.over.is_cancelled() || Instant::now() >= *self.until.borrow();
        if is_over { Err(Lapsed) } else { Ok(()) }
    }

    fn new(until: Instant) -> Self {
        Self { until: Arc::new(watch::Sender::new(until)), over: CancellationToken::new() }
    }
}

impl<O: Office> Keeper<O> {
    /// Takes the first lease.
    ///
    /// # Errors
    /// When none could be had for [`FIRST`].
    pub(super) async fn take(office: O, life: Duration) -> Result<(Self, Lease), Failure> {
        let (term, seen) = watch::channel(None);
        let keeper = Self { office, life, term };
        let deadline = Instant::now() + FIRST;
        loop {
            match keeper.renew().await {
                Ok(until) => {
                    keeper.term.send_replace(Some(Term::new(until)));
                    return Ok((keeper, Lease { term: seen }));
                }
                Err(error) if Instant::now() + RETRY < deadline => {
                    tracing::info!(%error, "no lease yet");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Renews the lease until `stop`, and then gives it up if `is_idle`: else
    /// what is under way may go on for longer than the others would wait.
    /// `lapsed` is called between two terms: what is remembered from the first
    /// is worth nothing in the second.
    pub(super) async fn keep(
        self,
        stop: CancellationToken,
        lapsed: impl Fn(),
        is_idle: impl Fn() -> bool,
    ) {
        stop.run_until_cancelled(self.keep_on(lapsed)).await;
        if !is_idle() {
            return;
        }
        self.end_term();
        if let Err(error) = self.office.end().await {
            tracing::warn!(%error, "lease not given up, it ends by itself");
        }
    }

    async fn keep_on(&self, lapsed: impl Fn()) {
        let mut due = Instant::now() + self.life / RENEWALS;
        loop {
            let until = self.until();
            sleep_until(until.map_or(due, |until| until.min(due))).await;
            let asked = Instant::now();
            let renewed = match until {
                // Whatever comes of it, the term ends in time.
                Some(until) => timeout_at(until, self.renew()).await,
                None => Ok(self.renew().await),
            };
            due = match renewed {
                Ok(Ok(until)) => {
                    self.extend(until, &lapsed);
                    asked + self.life / RENEWALS
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "lease not renewed, trying again");
                    Instant::now() + RETRY
                }
                Err(_) => {
                    tracing::error!("lease not renewed in time: cut off from the others");
                    metrics::counter!("petrel_lease_lapses_total").increment(1);
                    self.end_term();
                    Instant::now()
                }
            };
        }
    }

    /// Until when the lease lasts for certain, now that it is renewed.
    async fn renew(&self) -> Result<Instant, Failure> {
        let asked = Instant::now();
        self.office.renew(self.life).await?;
        Ok(asked + self.life - DRIFT)
    }

    fn until(&self) -> Option<Instant> {
        self.term.borrow().as_ref().map(|term| *term.until.borrow())
    }

    fn extend(&self, until: Instant, lapsed: impl Fn()) {
        if let Some(term) = &*self.term.borrow() {
            term.until.send_replace(until);
            return;
        }
        tracing::info!("a lease again");
        lapsed();
        self.term.send_replace(Some(Term::new(until)));
    }

    fn end_term(&self) {
        if let Some(term) = self.term.send_replace(None) {
            term.over.cancel();
        }
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
