//! What is printed of files.

use std::fmt;

use super::{PERCENTILES, latency};
use crate::load::{
    media::{Flow, MediaReport},
    process::mib,
    target::Held,
};

impl fmt::Display for MediaReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, files, size, .. } = self;
        let way = match self.piece {
            Some(piece) => format!("in pieces of {piece} bytes"),
            None => "in one request".into(),
        };
        writeln!(f, "{people} people with {files} files of {size} bytes, each {way}")?;
        if let Some(raw) = self.raw {
            writeln!(
                f,
                "plain copy: {:.1} MiB/s written and synced, {:.1} MiB/s read",
                raw.write_mib_per_second, raw.read_mib_per_second
            )?;
        }
        writeln!(f, "\nup:   {}\ndown: {}\n", self.up, self.down)?;
        writeln!(f, "{PERCENTILES}")?;
        latency(f, "reserved → answered", &self.upload)?;
        latency(f, "answered → ready", &self.answered_to_ready)?;
        latency(f, "download", &self.download)?;
        writeln!(f, "\nRSS before: {}", self.before)?;
        writeln!(f, "at most, up: {}; down: {}", self.most_up, self.most_down)?;
        writeln!(f, "faults, every byte compared: {}", self.faults)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files_per_second, mib_per_second, .. } = self;
        write!(f, "{files_per_second:.1} files/s, {mib_per_second:.1} MiB/s")?;
        if let Some(of_raw) = self.of_raw {
            write!(f, ", {of_raw:.2} of the plain copy")?;
        }
        write!(f, "\n      CPU seconds per GiB: {}", self.cpu_per_gib)?;
        write!(f, "\n      all else on the machine took {:.2} cores", self.others_cores)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gateways, workers) = (mib(self.gateways), mib(self.workers));
        write!(f, "gateways {gateways:.1} MiB, workers {workers:.1} MiB")
    }
}
