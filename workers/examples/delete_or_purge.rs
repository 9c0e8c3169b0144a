//! What it costs to delete acknowledged messages one by one, and by purges: the
//! figures of docs/adr/0002-delete-or-purge.md.
//!
//! Give it a nats-server of its own, and its pid to see its CPU time:
//! `cargo run --release -p workers --example delete_or_purge -- --pid 123`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an experiment, not a product")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use futures_util::{StreamExt as _, stream};
use nats::{Bus, Inboxes, NatsOptions, Topology};
use schemas::{DeviceId, UserId};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    nats: NatsOptions,
    /// The server's process.
    #[arg(long)]
    pid: Option<u32>,
    /// Messages removed for one figure, at least.
    #[arg(long, default_value_t = 4_096)]
    messages: usize,
    /// Messages that a device has.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
    each: Vec<usize>,
    /// Other people's messages between two of a device's.
    #[arg(long, value_delimiter = ',', default_value = "0,63,511,4095,32767")]
    gap: Vec<usize>,
    /// Sizes with gaps that make a device's messages span more are left out.
    #[arg(long, default_value_t = 150_000)]
    longest: usize,
    /// Requests in flight.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
}

const BODY: usize = 250;
const WRITES_IN_FLIGHT: usize = 256;

type Device = (UserId, DeviceId);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let nats = NatsOptions { shards: 1, ..options.nats.clone() };
    let bus = Bus::connect(&nats, "delete or purge").await?;
    nats::reconcile::apply(&bus, &Topology { shards: bus.shards, ..Topology::default() }).await?;
    let bench = Bench { inboxes: Inboxes::new(bus), options };

    println!(
        "each    span |  deletes/s  CPU µs |   purges/s  CPU µs | one delete, purge: ms | deletes per purge: time, CPU"
    );
    for each in &bench.options.each {
        for gap in &bench.options.gap {
            let span = each * (gap + 1);
            if span > bench.options.longest {
                continue;
            }
            let deletes = bench.deletes(*each, *gap).await;
            let purges = bench.purges(*each, *gap).await;
            println!(
                "{each:>4} {span:>7} | {:>10.0} {:>7.0} | {:>10.0} {:>7.0} | {:>11.2} {:>9.2} | {:>10.1} {:>10.1}",
                deletes.per_second,
                deletes.cpu_us,
                purges.per_second,
                purges.cpu_us,
                deletes.alone_ms,
                purges.alone_ms,
                deletes.per_second / purges.per_second,
                purges.cpu_us / deletes.cpu_us,
            );
        }
    }
    Ok(())
}

struct Bench {
    inboxes: Inboxes,
    options: Options,
}

/// What a request costs when there are many, and what one takes alone.
struct Cost {
    per_second: f64,
    cpu_us: f64,
    alone_ms: f64,
}

impl Bench {
    async fn deletes(&self, each: usize, gap: usize) -> Cost {
        let stored = self.fill(each, gap).await;
        let delete = |user: UserId, seq: u64| async move {
            self.inboxes.delete(user, seq).await.unwrap();
        };
        let all =
            stored.iter().flat_map(|((user, _), seqs)| seqs.iter().map(|seq| delete(*user, *seq)));
        self.measure(all).await
    }

    async fn purges(&self, each: usize, gap: usize) -> Cost {
        let stored = self.fill(each, gap).await;
        self.measure(stored.iter().map(|((user, device), seqs)| async move {
            let purged = self.inboxes.purge(*user, *device, seqs.last().copied()).await.unwrap();
            assert_eq!(purged, seqs.len() as u64);
        }))
        .await
    }

    /// Stores so many messages for each of some new devices, as far apart.
    async fn fill(&self, each: usize, gap: usize) -> Vec<(Device, Vec<u64>)> {
        // Devices whose messages lie in each other's gaps, and whoever else it takes.
        let side_by_side = (gap + 1).min((self.options.messages / each).max(16));
        let sets = self.options.messages.div_ceil(each * side_by_side);
        let others = devices(gap + 1 - side_by_side);
        let mut stored = Vec::new();
        for _ in 0..sets {
            let devices = devices(side_by_side);
            let round: Vec<Device> = devices.iter().chain(&others).copied().collect();
            let seqs = self.write(&round.repeat(each)).await;
            let of = |place: usize| seqs.iter().copied().skip(place).step_by(round.len());
            stored.extend(devices.into_iter().enumerate().map(|(place, device)| {
                let mut seqs: Vec<u64> = of(place).collect();
                // Many writes are under way at once, and may overtake each other.
                seqs.sort_unstable();
                (device, seqs)
            }));
        }
        stored
    }

    /// Stores a message for each of these; gives the positions.
    async fn write(&self, order: &[Device]) -> Vec<u64> {
        let body = Bytes::from(vec![b'x'; BODY]);
        let writes = order.iter().map(|(user, device)| {
            let (body, id) = (body.clone(), UserId::mint());
            async move {
                let id = format!("{user}.{id}");
                self.inboxes.store(*user, *device, &id, body).await.unwrap().seq
            }
        });
        stream::iter(writes).buffered(WRITES_IN_FLIGHT).collect().await
    }

    async fn measure<F: Future<Output = ()>>(&self, requests: impl Iterator<Item = F>) -> Cost {
        let mut requests: Vec<F> = requests.collect();
        let count = requests.len() - 1;
        let began = Instant::now();
        requests.pop().unwrap().await;
        let alone = began.elapsed();

        let (began, used) = (Instant::now(), self.cpu());
        stream::iter(requests).buffer_unordered(self.options.in_flight).collect::<()>().await;
        let cpu = self.cpu() - used;
        Cost {
            per_second: count as f64 / began.elapsed().as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6 / count as f64,
            alone_ms: alone.as_secs_f64() * 1e3,
        }
    }

    /// User and system time of the server, at the usual 100 ticks a second.
    fn cpu(&self) -> Duration {
        let Some(pid) = self.options.pid else { return Duration::ZERO };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let times = after_name.split_whitespace().skip(11).take(2);
        Duration::from_millis(10 * times.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
    }
}

fn devices(count: usize) -> Vec<Device> {
    (0..count).map(|_| (UserId::mint(), DeviceId::mint())).collect()
}
