//! What processes use, as Linux accounts for it.

use std::{
    fs, io,
    ops::{Add, Sub},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// CPU time and memory of one or more processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Usage {
    /// Seconds of CPU time, user and system.
    pub(super) cpu_secs: f64,
    /// Bytes of resident memory.
    pub(super) rss: u64,
}

impl Usage {
    /// Of this process.
    ///
    /// # Errors
    /// Where there is no /proc.
    pub(super) fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Of a process. CPU time is counted in ticks of 10 ms.
    ///
    /// # Errors
    /// When it has ended, or where there is no /proc.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc");
        let cpu = cpu_ticks(&stat).ok_or_else(malformed)?;
        let rss = resident_bytes(&status).ok_or_else(malformed)?;
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        Ok(Self { cpu_secs: cpu as f64 / ticks_per_second as f64, rss })
    }

    /// Of these processes together; those that have ended do not count.
    pub(super) fn sum(pids: &[u32]) -> Self {
        pids.iter().filter_map(|pid| Self::of(*pid).ok()).fold(Self::default(), Add::add)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu_secs: self.cpu_secs + other.cpu_secs, rss: self.rss + other.rss }
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let cpu_secs = (self.cpu_secs - other.cpu_secs).max(0.0);
        Self { cpu_secs, rss: self.rss.saturating_sub(other.rss) }
    }
}

/// CPU seconds that all cores together were busy since the machine started.
///
/// # Errors
/// Where there is no /proc.
pub(super) fn machine_cpu_secs() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc");
    let ticks = busy_ticks(&stat).ok_or_else(malformed)?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The first line's time as user, nice, system, irq and softirq; not what is
/// idle, waits for the disk, or is counted elsewhere.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(ticks.get(..3)?.iter().chain(ticks.get(5..7)?).sum())
}

/// User and system time: fields 14 and 15, counted behind the name, which may
/// hold anything but ends with the last parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// As many open files as the system allows: every connection is one here and
/// one in a gateway, which inherits this.
///
/// # Errors
/// When the system refuses.
pub(super) fn raise_file_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

/// Bytes of files and memory that a person can read.
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// CPU seconds per 1,000 of something.
pub(super) fn per_thousand(cpu_secs: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { cpu_secs * 1000.0 / count as f64 }
}

/// A count per second of time.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) (b c) S 1 42 42 0 -1 4194304 9 8 7 6 120 30 0 0 20 0 3 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(150));
    }

    #[test]
    fn waiting_is_not_being_busy() {
        let stat = "cpu  10 20 30 4000 500 6 7 8 9 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n";
        assert_eq!(busy_ticks(stat), Some(73));
    }

    #[test]
    fn resident_memory_is_given_in_kib() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }
}
