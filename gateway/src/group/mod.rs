//! Groups in the gateway: who is in them, sending to them, changing them.
//!
//! "Once a change of members is answered, every gateway acts on it" (PROTOCOL,
//! promise 9), although every gateway remembers who is in a group. So the one
//! that makes a change asks all others to act on it, and answers when they do:
//! see [`barrier`], and ADR 7 for the whole of it.

mod barrier;
mod change;
mod fan_out;
mod lease;
mod passes;
mod poll;
mod send;
mod table;
mod tell;
mod typing;

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use nats::{Bus, Leases};
use schemas::{ErrorCode, GatewayId, GroupId, UserId};
use store::DirectoryError;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::lease::Lease;
use self::{
    lease::{AtBucket, Keeper, Lapsed, Term},
    passes::Purpose,
    table::{Age, Membership, Pass, Table},
};
use crate::{app::App, roster::Roster, session::Refusal};

/// What a gateway knows of groups, and its place among the others.
#[derive(Debug)]
pub(crate) struct Groups {
    gateway: GatewayId,
    client: Client,
    leases: Leases,
    lease: Lease,
    table: Table,
}

/// Something that acts on who is in a group, until it is dropped.
#[derive(Debug)]
struct Acting {
    pass: Pass,
    term: Term,
}

impl Groups {
    /// Joins the other gateways: from now on they wait for this one. `tasks`
    /// keep that up until `stop`.
    ///
    /// # Errors
    /// When NATS takes neither the subscription nor the lease.
    pub(crate) async fn start(
        bus: &Bus,
        name: &str,
        life: Duration,
        roster: Roster,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let (gateway, table) = (GatewayId::mint(), Table::default());
        // Heard before anybody could ask.
        let answering =
            barrier::Answering::start(gateway, bus.client.clone(), &table, roster).await?;
        tasks.spawn(stop.clone().run_until_cancelled_owned(answering.run()));
        let leases = Leases::new(bus.clone());
        let office = AtBucket { leases: leases.clone(), gateway, name: name.to_owned() };
        let (keeper, lease) = Keeper::take(office, life).await?;
        let (forgetful, idle) = (table.clone(), table.clone());
        tasks.spawn(keeper.keep(
            stop.clone(),
            move || forgetful.forget_all(),
            move || idle.is_idle(),
        ));
        tracing::info!(%gateway, name, "among the gateways");
        Ok(Self { gateway, client: bus.client.clone(), leases, lease, table })
    }

    /// This run of this gateway.
    pub(crate) fn gateway(&self) -> GatewayId {
        self.gateway
    }

    /// Its place among the others.
    pub(crate) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Does something that acts on who is in a group, which nobody answers for
    /// a later change of before it has ended.
    async fn act<W: Future>(
        &self,
        group: GroupId,
        purpose: Purpose,
        work: impl FnOnce(Acting) -> W,
    ) -> Result<W::Output, Lapsed> {
        let begin = |term| work(Acting { pass: self.table.enter(group, purpose), term });
        self.lease.while_held(begin).await
    }
}

impl Acting {
    /// Who is in the group, which the work acts on from here on.
    async fn membership(&self, app: &App, group: GroupId) -> Result<Arc<Membership>, Refusal> {
        if let Some(membership) = self.pass.remembered(Age::New) {
            return existing(membership);
        }
        let read = app.directory.group_fresh(group);
        let group = if self.pass.has_remembered() {
            match app.absence.reread(read).await {
                Some(group) => group,
                // Nobody has changed it and answered for that meanwhile.
                None => return self.remembered(Age::Any),
            }
        } else {
            read.await?
        };
        let group = group.ok_or_else(no_such_group)?;
        let members = group.members.iter().map(|member| member.user).collect();
        match self.pass.read(Membership::new(group.version, members)) {
            Ok(membership) => existing(membership),
            // What came meanwhile is newer.
            Err(_) => self.remembered(Age::New),
        }
    }

    fn remembered(&self, age: Age) -> Result<Arc<Membership>, Refusal> {
        let lags = || Refusal::new(ErrorCode::Unavailable, "the directory lags behind");
        existing(self.pass.remembered(age).ok_or_else(lags)?)
    }

    /// For work that is about to do what cannot be called back.
    fn check(&self) -> Result<(), Lapsed> {
        self.term.check()
    }
}

impl App {
    /// Whether this user is in the group now.
    ///
    /// # Errors
    /// `not_found`, or `unavailable`.
    pub(crate) async fn is_member(&self, user: UserId, group: GroupId) -> Result<bool, Refusal> {
        let look = async |acting: Acting| Ok(acting.membership(self, group).await?.has(user));
        self.groups.act(group, Purpose::Use, look).await?
    }
}

/// The last member's leaving is remembered, too.
fn existing(membership: Arc<Membership>) -> Result<Arc<Membership>, Refusal> {
    if membership.members().is_empty() { Err(no_such_group()) } else { Ok(membership) }
}

pub(crate) fn no_such_group() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "there is no such group")
}

pub(crate) fn not_member() -> Refusal {
    Refusal::new(ErrorCode::NotMember, "you are not in that group")
}

impl From<Lapsed> for Refusal {
    fn from(lapsed: Lapsed) -> Self {
        Self::new(ErrorCode::Unavailable, lapsed.to_string())
    }
}

impl From<DirectoryError> for Refusal {
    fn from(error: DirectoryError) -> Self {
        if let DirectoryError::NotFound(_) = error {
            return Self::new(ErrorCode::NotFound, error.to_string());
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "directory unavailable");
        Self::new(ErrorCode::Unavailable, "the directory does not answer")
    }
}
