//! What is printed of push.

use std::fmt;

use super::{PERCENTILES, latency, style};
use crate::load::push::{Grace, PushReport, Woken};

impl fmt::Display for PushReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(woken) => woken.fmt(f),
            Self::Connected(grace) => grace.fmt(f),
        }
    }
}

impl fmt::Display for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, senders, body, pushes, .. } = self;
        let style = style(self.rate, self.window);
        writeln!(
            f,
            "{people} people away, a message for each from {senders} senders: {style}, bodies of {body} bytes"
        )?;
        writeln!(
            f,
            "{:.0} pushes per second ({pushes} in all, {:.3} per message), to a receiver that only counts\n",
            self.pushes_per_second, self.pushes_per_message
        )?;
        writeln!(f, "{PERCENTILES}")?;
        latency(f, "sent → sent tick", &self.sent_to_tick)?;
        latency(f, "sent → pushed", &self.sent_to_pushed)?;
        latency(f, "sent tick → pushed", &self.tick_to_pushed)?;
        latency(f, "generator late", &self.generator_late)?;
        writeln!(f, "\nCPU seconds per 1,000 pushes: {}", self.cpu)?;
        writeln!(f, "all else on the machine took {:.2} cores", self.others_cores)?;
        writeln!(f, "faults: {}", self.faults)
    }
}

impl fmt::Display for Grace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "nobody can be woken:\n{}", self.without)?;
        writeln!(f, "everybody can be woken, and need not be:\n{}", self.with)?;
        writeln!(
            f,
            "CPU with, as a multiple of that without: workers {:.2}, nats-servers {:.2}",
            self.workers_ratio, self.nats_ratio
        )?;
        writeln!(f, "pushes, of which there should be none: {}", self.pushes)
    }
}
