//! Spreads the streams' leaders over the nodes of a cluster.
//!
//! Every write of a stream goes through its leader, and elections leave the
//! leaders where they fell: after a restart one node may lead all of them and
//! another none. This asks leaders to step down in favour of a chosen peer, one
//! at a time, and only while all copies of that stream are up to date.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{self, ApiError, Question, REQUEST_TIMEOUT},
    bus::Bus,
    retry::Retries,
    subject::inbox_shard,
    topology::Topology,
};

/// How long one stream may take to elect the chosen leader and catch up.
pub const MOVE_DEADLINE: Duration = Duration::from_secs(30);

/// A copy that was not heard of for so long counts as gone. They are heard of
/// every second; the server itself calls a dead one current for some 10 s.
const SILENCE: Duration = Duration::from_secs(3);

/// A stream's leadership goes from one node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which stream's.
    pub stream: String,
    /// The leader now.
    pub from: String,
    /// The leader to be.
    pub to: String,
}

/// Why the leaders are not spread (any further). What was moved stays moved.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A copy lags or its node is gone: moving the leader now could make the
    /// stream unavailable.
    #[error("not all copies of stream {0} are up to date: try again when they are")]
    NotCurrent(String),
    /// Another node was elected, or none, within [`MOVE_DEADLINE`].
    #[error("stream {} did not get {} as its leader within {MOVE_DEADLINE:?}", .0.stream, .0.to)]
    NotElected(Move),
    /// JetStream would not, or did not answer in time.
    #[error("stream {stream}")]
    Api {
        /// Which stream was looked at or moved.
        stream: String,
        /// Why it failed.
        source: ApiError,
    },
}

/// Which leaders have to move so that every node leads as many inboxes as any
/// other, or one more; and likewise of the other streams.
///
/// # Errors
/// When a stream does not describe itself.
pub async fn plan(bus: &Bus, declared: &Topology) -> Result<Vec<Move>, PlaceError> {
    let (mut inboxes, mut others) = (Vec::new(), Vec::new());
    for stream in declared.streams() {
        let Cluster { leader: Some(leader), replicas } = cluster(bus, &stream.name).await? else {
            continue;
        };
        let peers = replicas.into_iter().map(|replica| replica.name).collect();
        let is_inbox = inbox_shard(&stream.name).is_some();
        let group = if is_inbox { &mut inboxes } else { &mut others };
        group.push(Led { stream: stream.name, leader, peers });
    }
    let mut moves = balance(inboxes);
    moves.extend(balance(others));
    Ok(moves)
}

/// Carries out one move and waits until the stream is whole again.
///
/// # Errors
/// When it cannot be done safely, or was not done in time.
pub async fn carry_out(bus: &Bus, step: &Move) -> Result<(), PlaceError> {
    let Move { stream, from, to } = step;
    let before = cluster(bus, stream).await?;
    if !before.is_current() {
        return Err(PlaceError::NotCurrent(stream.clone()));
    }
    if before.leader.as_ref() != Some(from) {
        // It has moved by itself; whoever wants it better plans again.
        return Ok(());
    }
    let request = json!({ "placement": { "preferred": to } }).to_string();
    let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
    let answer = bus.requester.once(Question::new(subject, request), REQUEST_TIMEOUT).await;
    let Done {} = answer
        .and_then(api::read)
        .map_err(|source| PlaceError::Api { stream: stream.clone(), source })?;
    let mut retries = Retries::within(MOVE_DEADLINE);
    while retries.pause().await {
        let now = cluster(bus, stream).await?;
        if now.leader.as_ref() == Some(to) && now.is_current() {
            return Ok(());
        }
    }
    Err(PlaceError::NotElected(step.clone()))
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}: leader {} -> {}", self.stream, self.from, self.to)
    }
}

#[derive(Deserialize)]
struct Done {}

#[derive(Default, Deserialize)]
struct Cluster {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    name: String,
    current: bool,
    #[serde(default)]
    offline: bool,
    /// Nanoseconds since it was heard of.
    #[serde(default)]
    active: u64,
}

impl Replica {
    fn is_current(&self) -> bool {
        self.current && !self.offline && Duration::from_nanos(self.active) < SILENCE
    }
}

impl Cluster {
    fn is_current(&self) -> bool {
        self.leader.is_some() && self.replicas.iter().all(Replica::is_current)
    }
}

async fn cluster(bus: &Bus, stream: &str) -> Result<Cluster, PlaceError> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        cluster: Cluster,
    }
    let question = || Question::new(format!("$JS.API.STREAM.INFO.{stream}"), "");
    // Between two leaders nobody answers.
    let info = bus.requester.insist(question, MOVE_DEADLINE, REQUEST_TIMEOUT, api::read::<Info>);
    let info =
        info.await.map_err(|source| PlaceError::Api { stream: stream.to_owned(), source })?;
    Ok(info.cluster)
}

/// A stream, its leader, and the nodes that could lead it instead.
#[derive(Debug, Clone)]
struct Led {
    stream: String,
    leader: String,
    peers: Vec<String>,
}

/// Moves leaders from the node that has most to the one that has fewest, as
/// long as that makes the two more equal: few moves, and it ends.
fn balance(mut streams: Vec<Led>) -> Vec<Move> {
    let mut moves = Vec::new();
    loop {
        let counts = leaders(&streams);
        let lead = |node: &String| counts.get(node).copied().unwrap_or(0);
        let candidates = streams
            .iter()
            .enumerate()
            .flat_map(|(index, led)| led.peers.iter().map(move |peer| (index, peer)));
        // The first of the best, so that the same cluster gives the same plan.
        let best = candidates
            .map(|(index, to)| (lead(&streams[index].leader).saturating_sub(lead(to)), index, to))
            .filter(|(gain, ..)| *gain >= 2)
            .min_by_key(|(gain, index, to)| (std::cmp::Reverse(*gain), *index, (*to).clone()));
        let Some((_, index, to)) = best else { return moves };
        let to = to.clone();
        let led = &mut streams[index];
        led.peers.retain(|peer| *peer != to);
        let from = std::mem::replace(&mut led.leader, to.clone());
        led.peers.push(from.clone());
        moves.push(Move { stream: led.stream.clone(), from, to });
    }
}

fn leaders(streams: &[Led]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for led in streams {
        *counts.entry(led.leader.clone()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_copy_that_fell_silent_is_not_current_whatever_the_server_calls_it() {
        let cluster = |active: &str| -> Cluster {
            let text = format!(
                r#"{{"leader":"n1","replicas":[{{"name":"n2","current":true,"active":{active}}}]}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        assert!(cluster("950000000").is_current());
        assert!(!cluster("4460000000").is_current());
    }

    fn led(stream: usize, leader: usize, peers: &[usize]) -> Led {
        let node = |n: usize| format!("n{n}");
        Led {
            stream: format!("INBOX_{stream}"),
            leader: node(leader),
            peers: peers.iter().filter(|peer| **peer != leader).map(|peer| node(*peer)).collect(),
        }
    }

    #[test]
    fn a_balanced_cluster_stays_as_it_is() {
        let streams = (0..8).map(|stream| led(stream, stream % 3, &[0, 1, 2])).collect();
        assert!(balance(streams).is_empty());
    }

    #[test]
    fn a_node_that_came_back_gets_its_share_with_as_few_moves_as_that_takes() {
        let streams = (0..6).map(|stream| led(stream, stream % 2, &[0, 1, 2])).collect();
        let moves = balance(streams);
        assert_eq!(moves.len(), 2);
        assert!(moves.iter().all(|step| step.to == "n2"));
        assert_ne!(moves[0].from, moves[1].from);
    }

    #[test]
    fn a_single_copy_cannot_move() {
        let streams = (0..6).map(|stream| led(stream, 0, &[0])).collect();
        assert!(balance(streams).is_empty());
    }

    proptest! {
        #[test]
        fn any_start_ends_spread(starts in prop::collection::vec(0usize..3, 0..64)) {
            let streams: Vec<_> = starts
                .iter()
                .enumerate()
                .map(|(stream, leader)| led(stream, *leader, &[0, 1, 2]))
                .collect();
            let mut counts = [0usize; 3];
            for leader in &starts {
                counts[*leader] += 1;
            }
            let node = |name: &str| name[1..].parse::<usize>().unwrap_or_default();
            let most_moved = starts.len();
            let moves = balance(streams);
            prop_assert!(moves.len() <= most_moved);
            for step in &moves {
                counts[node(&step.from)] -= 1;
                counts[node(&step.to)] += 1;
            }
            let spread = counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0);
            prop_assert!(spread <= 1, "{counts:?}");
        }
    }
}
