//! What is printed in the end.

mod files;
mod push;

use std::fmt;

use serde::Serialize;

use super::{
    backlog::BacklogReport,
    check::Faults,
    groups::{GroupsReport, Measured},
    idle::{IdleReport, Memory},
    latency::Percentiles,
    media::MediaReport,
    presence::PresenceReport,
    process::mib,
    push::PushReport,
    reconnect::ReconnectReport,
    target::{Cpu, Environment},
    traffic::TrafficReport,
    writes::Amplification,
};

/// A finished run.
#[derive(Debug, Clone, Serialize)]
pub(in crate::load) struct Report {
    pub(in crate::load) environment: Environment,
    #[serde(flatten)]
    pub(in crate::load) outcome: Outcome,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::load) enum Outcome {
    Traffic(TrafficReport),
    Groups(Box<GroupsReport>),
    Idle(IdleReport),
    Presence(PresenceReport),
    Reconnect(ReconnectReport),
    Backlog(BacklogReport),
    Media(Box<MediaReport>),
    Push(PushReport),
}

impl Report {
    /// Whether nothing went wrong.
    pub(in crate::load) fn is_well(&self) -> bool {
        match &self.outcome {
            Outcome::Traffic(it) => it.faults.is_none(),
            Outcome::Groups(it) => it.faults.is_none(),
            Outcome::Idle(it) => it.disconnected == 0,
            Outcome::Presence(it) => it.disconnected == 0,
            Outcome::Reconnect(it) => it.faults.is_none(),
            Outcome::Backlog(it) => it.faults.is_none(),
            Outcome::Media(it) => it.faults.is_none(),
            Outcome::Push(it) => it.is_well(),
        }
    }
}

macro_rules! outcome_from {
    ($($variant:ident($report:ty)),*) => {
        $(impl From<$report> for Outcome {
            fn from(report: $report) -> Self {
                Self::$variant(report)
            }
        })*
    };
}

outcome_from!(
    Traffic(TrafficReport),
    Groups(Box<GroupsReport>),
    Idle(IdleReport),
    Presence(PresenceReport),
    Reconnect(ReconnectReport),
    Backlog(BacklogReport),
    Media(Box<MediaReport>),
    Push(PushReport)
);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.environment)?;
        match &self.outcome {
            Outcome::Traffic(it) => it.fmt(f),
            Outcome::Groups(it) => it.fmt(f),
            Outcome::Idle(it) => it.fmt(f),
            Outcome::Presence(it) => it.fmt(f),
            Outcome::Reconnect(it) => it.fmt(f),
            Outcome::Backlog(it) => it.fmt(f),
            Outcome::Media(it) => it.fmt(f),
            Outcome::Push(it) => it.fmt(f),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { petrel, sync, gateways, cores, kernel, .. } = self;
        let count = |count: Option<usize>| count.map_or("?".to_owned(), |count| count.to_string());
        let (workers, nodes) = (count(self.workers), count(self.nats_nodes));
        let nats = self.nats_server.as_deref().unwrap_or("?");
        let build = if self.optimised { "" } else { " UNOPTIMISED BUILD" };
        writeln!(
            f,
            "petrel {petrel}{build}, {gateways} gateways, {workers} workers; \
             {nodes} nats-server {nats}, fsync {sync}"
        )?;
        writeln!(f, "{cores} cores shared with the load generator, Linux {kernel}")
    }
}

const PERCENTILES: &str = "ms                        p50       p99     p99.9       max      count";

/// When messages were sent: at a planned rate, or as fast as a window lets them.
fn style(rate: Option<u32>, window: Option<u32>) -> String {
    match (rate, window) {
        (Some(rate), _) => format!("{rate} messages per second planned"),
        (None, window) => format!("flat out, window {}", window.unwrap_or_default()),
    }
}

fn latency(f: &mut fmt::Formatter<'_>, what: &str, percentiles: &Percentiles) -> fmt::Result {
    writeln!(f, "{what:<20} {percentiles}")
}

impl fmt::Display for TrafficReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, body, seconds, messages, .. } = self;
        let style = style(self.rate, self.window);
        writeln!(f, "{connections} people in pairs, {style}, bodies of {body} bytes, {seconds} s")?;
        writeln!(
            f,
            "per second: {:.0} received, {:.0} delivered ({messages} messages in all)\n",
            self.received_per_second, self.delivered_per_second
        )?;
        writeln!(f, "{PERCENTILES}")?;
        latency(f, "sent → sent tick", &self.sent_to_tick)?;
        latency(f, "sent → received", &self.sent_to_received)?;
        latency(f, "sent → delivered", &self.sent_to_delivered)?;
        latency(f, "generator late", &self.generator_late)?;
        writeln!(f, "\nCPU seconds per 1,000 delivered: {}", self.cpu)?;
        writeln!(f, "all else on the machine took {:.2} cores", self.others_cores)?;
        writeln!(f, "faults: {}", self.faults)
    }
}

impl fmt::Display for GroupsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, size, people, speakers, body, seconds, .. } = self;
        let style = style(self.rate, self.window);
        writeln!(
            f,
            "{groups} groups of {size} among {people} people, {speakers} in each talk: {style}, \
             bodies of {body} bytes, {seconds} s"
        )?;
        match (&self.slowly, self.slow_readers) {
            (None, _) => write!(f, "{}", self.quickly)?,
            (Some(slowly), slow) => {
                writeln!(f, "\n{slow} members of every group, as quick as the others:")?;
                write!(
                    f,
                    "{}\nthe same people, a frame per {} ms:\n",
                    self.quickly, self.pause_ms
                )?;
                write!(f, "{slowly}")?;
            }
        }
        writeln!(f, "faults: {}", self.faults)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, received_per_second, delivered_per_second, .. } = self;
        write!(f, "per second: {received_per_second:.0} received, ")?;
        write!(f, "{delivered_per_second:.0} delivered, ")?;
        if let Some(deleted) = self.deleted_per_second {
            write!(f, "{deleted:.0} deleted ")?;
        }
        writeln!(f, "({messages} messages to groups in all)\n\n{PERCENTILES}")?;
        latency(f, "sent → sent tick", &self.sent_to_tick)?;
        latency(f, "sent → each received", &self.sent_to_received)?;
        latency(f, "sent → last received", &self.sent_to_last_received)?;
        latency(f, "sent → all delivered", &self.sent_to_all_delivered)?;
        latency(f, "generator late", &self.generator_late)?;
        writeln!(f)?;
        if let Some(amplification) = &self.amplification {
            writeln!(f, "JetStream writes per delivered message: {amplification}")?;
        }
        writeln!(f, "CPU seconds per 1,000 delivered: {}", self.cpu)?;
        writeln!(f, "all else on the machine took {:.2} cores", self.others_cores)?;
        writeln!(
            f,
            "RSS of all gateways: {:.1} MiB before, {:.1} MiB at most",
            mib(self.gateways_before),
            mib(self.gateways_most)
        )?;
        if self.slow_behind > 0 {
            writeln!(f, "messages that slow members were behind in the end: {}", self.slow_behind)?;
        }
        Ok(())
    }
}

impl fmt::Display for Amplification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, inboxes, watermarks, acks, others } = self;
        write!(
            f,
            "{total:.3} (messages {inboxes:.3}, watermarks {watermarks:.3}, \
             acknowledgements in memory {acks:.3}, others {others:.3})"
        )
    }
}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, held_seconds, disconnected, .. } = self;
        writeln!(f, "{connections} people connected and silent for {held_seconds} s")?;
        writeln!(f, "{:.0} connects per second\n", self.connects_per_second)?;
        writeln!(f, "{PERCENTILES}")?;
        latency(f, "connect → caught up", &self.connect)?;
        writeln!(
            f,
            "\nRSS in MiB          before   control connected      held     after   KiB per connection"
        )?;
        writeln!(f, "gateways         {}", self.gateways)?;
        writeln!(f, "nats-servers     {}", self.nats)?;
        writeln!(f, "\nconnections that ended by themselves: {disconnected}")
    }
}

impl fmt::Display for PresenceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} people came online, and stayed for {} s", self.online, self.held_seconds)?;
        writeln!(f, "CPU seconds per 1,000 who came: {}", self.connecting)?;
        writeln!(f, "CPU seconds per second while they stayed: {}\n", self.held)?;
        writeln!(f, "{PERCENTILES}")?;
        latency(f, "hello → watcher", &self.change_to_watcher)?;
        writeln!(f, "\nconnections that ended by themselves: {}", self.disconnected)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bytes in [self.before, self.control, self.connected, self.held, self.after] {
            write!(f, "{:>9.1} ", mib(bytes))?;
        }
        write!(f, "{:>20.2}", self.per_connection / 1024.0)
    }
}

impl fmt::Display for ReconnectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, spread_ms, retries, .. } = self;
        writeln!(
            f,
            "{connections} people lost their gateway, first tries spread over {spread_ms} ms"
        )?;
        writeln!(
            f,
            "all caught up on another after {:.2} s ({retries} tries failed)\n",
            self.all_caught_up_seconds
        )?;
        writeln!(f, "{PERCENTILES}")?;
        latency(f, "killed → caught up", &self.caught_up)?;
        writeln!(f, "\nCPU seconds until then: {}", self.cpu)?;
        writeln!(f, "faults, with a message of each afterwards: {}", self.faults)
    }
}

impl fmt::Display for BacklogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, senders, body, .. } = self;
        writeln!(f, "{messages} messages of {senders} people waited, bodies of {body} bytes")?;
        writeln!(f, "stored at {:.0} per second", self.stored_per_second)?;
        writeln!(
            f,
            "connect → caught up {:.3} s ({:.0} per second), → last delivered tick {:.3} s",
            self.caught_up_seconds, self.read_per_second, self.delivered_seconds
        )?;
        writeln!(f, "CPU seconds per 1,000: {}", self.cpu)?;
        writeln!(f, "faults: {}", self.faults)
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateways, workers, nats, total, generator, others } = self;
        write!(
            f,
            "{total:.3} (gateways {gateways:.3}, workers {workers:.3}, nats-server {nats:.3}; \
             generator {generator:.3}, all else {others:.3})"
        )
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none: nothing lost, doubled or out of order");
        }
        let counts = [
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("out of order", self.out_of_order),
            ("corrupt", self.corrupt),
            ("unticked", self.unticked),
            ("undelivered", self.undelivered),
            ("undeleted", self.undeleted),
            ("disconnected", self.disconnected),
        ];
        let refused = self.refused.iter().map(|(code, count)| format!("{count} refused: {code}"));
        let counted = counts.into_iter().filter(|(_, count)| *count > 0);
        let all: Vec<_> =
            counted.map(|(what, count)| format!("{count} {what}")).chain(refused).collect();
        f.write_str(&all.join(", "))
    }
}
