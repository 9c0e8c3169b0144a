//! People upload files and download them again: how fast, beside a plain copy
//! of the same bytes into the same folder, and with how much memory.

mod contents;
mod owner;
mod raw;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Serialize;
use tokio::task::JoinSet;

use self::{
    contents::Contents,
    owner::{Owner, Times, Uploaded},
    raw::Copied,
};
use super::{
    check::Faults,
    latency::{Latency, Percentiles},
    options::Media,
    people::{self, Connected, Person, Waiting},
    process::{mib, per_second},
    progress,
    target::{Cpu, Held, Target},
};
use crate::client::Buffers;

/// Longest silence of a gateway while bytes are on their way.
const SILENCE: Duration = Duration::from_secs(60);
/// Between the seeds of two files.
const APART: u64 = 0xd1b5_4a32_d192_ed03;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct MediaReport {
    /// How many uploaded.
    pub(super) people: u32,
    /// Files of each.
    pub(super) files: u32,
    /// Bytes of each file.
    pub(super) size: u64,
    /// Bytes of each piece; none: a file went up in one request.
    pub(super) piece: Option<u64>,
    /// The plain copy; none of a Petrel that was given.
    pub(super) raw: Option<RawCopy>,
    /// From the first reservation to the last byte's answer.
    pub(super) up: Flow,
    /// From the first request to the last byte.
    pub(super) down: Flow,
    /// From a reservation to the answer that all of the file has come.
    pub(super) upload: Percentiles,
    /// From that answer until the owner was told that the file is ready.
    pub(super) answered_to_ready: Percentiles,
    /// From a request to the last byte.
    pub(super) download: Percentiles,
    /// Resident memory before the first upload.
    pub(super) before: Held,
    /// At most, while files went up and were looked at.
    pub(super) most_up: Held,
    /// At most, while they came down.
    pub(super) most_down: Held,
    /// What went wrong.
    pub(super) faults: Faults,
}

/// Files on their way in one direction.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Flow {
    /// Files per second of all together.
    pub(super) files_per_second: f64,
    /// MiB per second of all together.
    pub(super) mib_per_second: f64,
    /// As a part of what the plain copy reached; none without one.
    pub(super) of_raw: Option<f64>,
    /// CPU seconds per GiB; of uploads, until the last of them was ready.
    pub(super) cpu_per_gib: Cpu,
    /// Cores that everything else on the machine took meanwhile.
    pub(super) others_cores: f64,
}

/// What the disk and the file system do by themselves.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct RawCopy {
    /// MiB per second that were written, each file synced.
    pub(super) write_mib_per_second: f64,
    /// MiB per second that were read and compared.
    pub(super) read_mib_per_second: f64,
}

/// Uploads files and downloads them.
///
/// # Errors
/// When people cannot be registered or connected, or an upload or a download
/// is refused.
pub(super) async fn run(target: &Target, options: &Media) -> anyhow::Result<MediaReport> {
    let people = people::register(target.gateways(), options.people).await?;
    let gateway_of = |n: usize| target.gateway(n).base().clone();
    let (connected, _) =
        people::connect(&people, gateway_of, Buffers::SMALL, Waiting::Nothing).await?;
    let seed: u64 = rand::random();
    let bytes = options.all_files().saturating_mul(options.size);
    let raw = match target.stack() {
        Some(stack) => Some(raw::copy(&stack.media_folder(), options, seed).await?),
        None => None,
    };
    let raw = raw.map(|copied| RawCopy::of(bytes, copied));
    let owners = owners(target, options, seed, people)?;
    let times = Arc::new(Times::new());

    let (before, cpu, started) = (target.held(), target.cpu()?, Instant::now());
    let (uploaded, most_up) = target.most_held(upload(owners, connected, &times)).await;
    let uploaded = uploaded?;
    let cpu = target.cpu()? - cpu;
    let last = uploaded.iter().map(|uploaded| uploaded.last).max().unwrap_or(started);
    let of_raw = raw.map(|raw| raw.write_mib_per_second);
    let all = (options.all_files(), bytes);
    let up = Flow::of(all, last - started, started.elapsed(), cpu, of_raw);

    let count: u64 = uploaded.iter().map(Uploaded::count).sum();
    let (cpu, started) = (target.cpu()?, Instant::now());
    let (faults, most_down) = target.most_held(download(uploaded, &times)).await;
    let took = started.elapsed();
    let cpu = target.cpu()? - cpu;
    let of_raw = raw.map(|raw| raw.read_mib_per_second);
    let down = Flow::of((count, count * options.size), took, took, cpu, of_raw);
    Ok(MediaReport {
        people: options.people,
        files: options.files,
        size: options.size,
        piece: options.piece(),
        raw,
        up,
        down,
        upload: times.upload.percentiles(),
        answered_to_ready: times.ready.percentiles(),
        download: times.download.percentiles(),
        before,
        most_up,
        most_down,
        faults: faults?,
    })
}

/// The files of one person.
fn files_of(person: u32, options: &Media, seed: u64) -> impl Iterator<Item = Contents> + use<> {
    let (files, size) = (u64::from(options.files), options.size);
    let first = u64::from(person) * files;
    (first..first + files)
        .map(move |n| Contents { seed: seed.wrapping_add((n + 1).wrapping_mul(APART)), size })
}

fn owners(
    target: &Target,
    options: &Media,
    seed: u64,
    people: Vec<Person>,
) -> anyhow::Result<Vec<Owner>> {
    let http = reqwest::Client::builder().no_proxy().read_timeout(SILENCE).build()?;
    let owner = |(n, person)| Owner {
        n,
        api: target.gateway(n).clone(),
        http: http.clone(),
        person,
        files: files_of(u32::try_from(n).unwrap_or(u32::MAX), options, seed).collect(),
        piece: options.piece(),
    };
    Ok(people.into_iter().enumerate().map(owner).collect())
}

async fn upload(
    owners: Vec<Owner>,
    connected: Vec<Connected>,
    times: &Arc<Times>,
) -> anyhow::Result<Vec<Uploaded>> {
    let spinner = progress::spinner("uploading");
    let mut uploading = JoinSet::new();
    for (owner, connected) in owners.into_iter().zip(connected) {
        let times = Arc::clone(times);
        uploading.spawn(async move { owner.upload(connected.socket, &times).await });
    }
    let mut uploaded = Vec::with_capacity(uploading.len());
    while let Some(joined) = uploading.join_next().await {
        uploaded.push(joined.context("a person's task died")??);
    }
    spinner.finish_and_clear();
    Ok(uploaded)
}

async fn download(uploaded: Vec<Uploaded>, times: &Arc<Times>) -> anyhow::Result<Faults> {
    let spinner = progress::spinner("downloading");
    let mut downloading = JoinSet::new();
    for uploaded in uploaded {
        let times = Arc::clone(times);
        downloading.spawn(async move { uploaded.download(&times).await });
    }
    let mut faults = Faults::default();
    while let Some(joined) = downloading.join_next().await {
        faults += joined.context("a person's task died")??;
    }
    spinner.finish_and_clear();
    Ok(faults)
}

impl Times {
    fn new() -> Self {
        Self { upload: Latency::new(), ready: Latency::new(), download: Latency::new() }
    }
}

impl Flow {
    /// Of so many files and bytes, which took a time, with the CPU of a time.
    fn of(
        (files, bytes): (u64, u64),
        took: Duration,
        of_cpu: Duration,
        cpu: Cpu,
        raw_mib_per_second: Option<f64>,
    ) -> Self {
        let mib_per_second = mib(bytes) / took.as_secs_f64();
        Self {
            files_per_second: per_second(files, took),
            mib_per_second,
            of_raw: raw_mib_per_second.map(|raw| mib_per_second / raw),
            cpu_per_gib: cpu.per(mib(bytes) / 1024.0),
            others_cores: cpu.others / of_cpu.as_secs_f64(),
        }
    }
}

impl RawCopy {
    fn of(bytes: u64, copied: Copied) -> Self {
        let rate = |time: Duration| mib(bytes) / time.as_secs_f64();
        Self {
            write_mib_per_second: rate(copied.writing),
            read_mib_per_second: rate(copied.reading),
        }
    }
}
