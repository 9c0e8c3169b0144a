//! How a live JetStream differs from the declared topology, and making it alike.
//!
//! Nothing is ever deleted to get there: what JetStream cannot change in place
//! is reported and left to a person.

mod compare;
mod live;

use std::fmt;

use crate::{
    api::ApiError,
    bus::Bus,
    topology::{self, Topology},
};

pub use compare::FieldChange;
use compare::{CONSUMER_FIELDS, Field, STREAM_FIELDS};
use live::{Configs, Live};

/// One declared thing that is not as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `stream INBOX_0`, `consumer receipts of RECEIPTS`.
    pub what: String,
    /// In what way.
    pub kind: DifferenceKind,
}

/// In what way something is not as declared.
#[derive(Debug, Clone, PartialEq)]
pub enum DifferenceKind {
    /// It is not there.
    Missing,
    /// Its configuration differs, in at least one field.
    Changed(Vec<FieldChange>),
    /// It is an inbox shard beyond the declared number of shards.
    BeyondShards(u32),
}

/// Why the topology could not be reconciled.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Some differences are beyond what can be changed in place. Nothing was
    /// changed at all.
    #[error("this cannot be changed in place, and nothing was changed:\n{}", lines(.0))]
    Impossible(Vec<Difference>),
    /// JetStream would not, or did not answer in time. Reconciling again goes
    /// on where this ended.
    #[error("{what}")]
    Api {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: ApiError,
    },
}

/// Compares the live streams and consumers with the declared ones.
///
/// # Errors
/// When JetStream does not describe them.
pub async fn diff(bus: &Bus, declared: &Topology) -> Result<Vec<Difference>, ReconcileError> {
    let live = Live::new(bus.requester.clone());
    Ok(plan(&live, declared).await?.into_iter().map(|step| step.difference).collect())
}

/// Makes the live streams and consumers as declared; says what it changed.
/// Repeating it changes nothing more.
///
/// # Errors
/// [`ReconcileError::Impossible`], before anything is changed, where something
/// cannot be changed in place.
pub async fn apply(bus: &Bus, declared: &Topology) -> Result<Vec<Difference>, ReconcileError> {
    let live = Live::new(bus.requester.clone());
    let steps = plan(&live, declared).await?;
    let (possible, impossible): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|step| step.difference.is_possible());
    if !impossible.is_empty() {
        let differences = impossible.into_iter().map(|step| step.difference);
        return Err(ReconcileError::Impossible(differences.collect()));
    }
    let mut done = Vec::with_capacity(possible.len());
    for Step { difference, write } in possible {
        if let Some(write) = write {
            live.write(&write).await.map_err(failed(&difference.what))?;
        }
        tracing::info!(%difference, "reconciled");
        done.push(difference);
    }
    Ok(done)
}

/// A difference, and the configuration to write for it where that is possible.
struct Step {
    difference: Difference,
    write: Option<live::Write>,
}

async fn plan(live: &Live, declared: &Topology) -> Result<Vec<Step>, ReconcileError> {
    let mut steps = Vec::new();
    for stream in declared.streams() {
        let what = format!("stream {}", stream.name);
        let configs = Configs {
            declared: to_json(&stream),
            live: live.stream(&stream.name).await.map_err(failed(&what))?,
        };
        let target = live::Target::Stream(stream.name);
        steps.extend(step(what, &STREAM_FIELDS, configs, target));
    }
    for topology::Consumer { stream, name, config } in declared.consumers() {
        let what = format!("consumer {name} of {stream}");
        let configs = Configs {
            declared: to_json(&config),
            live: live.consumer(&stream, &name).await.map_err(failed(&what))?,
        };
        let target = live::Target::Consumer { stream, name };
        steps.extend(step(what, &CONSUMER_FIELDS, configs, target));
    }
    let beyond = live.inboxes_beyond(declared.shards).await.map_err(failed("listing streams"))?;
    steps.extend(beyond.into_iter().map(|name| {
        let kind = DifferenceKind::BeyondShards(declared.shards.count());
        Step { difference: Difference { what: format!("stream {name}"), kind }, write: None }
    }));
    Ok(steps)
}

fn step(what: String, fields: &[Field], configs: Configs, target: live::Target) -> Option<Step> {
    let Some(live) = configs.live else {
        let write = live::Write { target, config: configs.declared, exists: false };
        let difference = Difference { what, kind: DifferenceKind::Missing };
        return Some(Step { difference, write: Some(write) });
    };
    let changes = compare::changes(fields, &configs.declared, &live);
    if changes.is_empty() {
        return None;
    }
    let config = compare::merge(fields, &configs.declared, live);
    let write = live::Write { target, config, exists: true };
    let difference = Difference { what, kind: DifferenceKind::Changed(changes) };
    Some(Step { difference, write: Some(write) })
}

impl Difference {
    /// Whether [`apply`] can do something about it.
    pub fn is_possible(&self) -> bool {
        match &self.kind {
            DifferenceKind::Missing => true,
            DifferenceKind::Changed(changes) => changes.iter().all(|change| change.possible),
            DifferenceKind::BeyondShards(_) => false,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match &self.kind {
            DifferenceKind::Missing => write!(f, "{what}: missing"),
            DifferenceKind::BeyondShards(declared) => write!(
                f,
                "{what}: beyond the {declared} declared shards; their number is fixed when the \
                 streams are made"
            ),
            DifferenceKind::Changed(changes) => {
                for (index, change) in changes.iter().enumerate() {
                    let separator = if index > 0 { "\n" } else { "" };
                    write!(f, "{separator}{what}: {change}")?;
                }
                Ok(())
            }
        }
    }
}

fn lines(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn failed(what: &str) -> impl FnOnce(ApiError) -> ReconcileError {
    let what = what.to_owned();
    |source| ReconcileError::Api { what, source }
}

fn to_json(config: &impl serde::Serialize) -> serde_json::Value {
    #[allow(clippy::expect_used, reason = "configurations are plain data")]
    serde_json::to_value(config).expect("a configuration is always JSON")
}
