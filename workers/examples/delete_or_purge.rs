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
use nats::{Bus, Inboxes, NatsOptions, Topology, subject};
use schemas::{DeviceId, UserId};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    nats: NatsOptions,
    /// The server's process.
    #[arg(long)]
    pid: Option<u32>,
    /// Messages of other people in the shard, and again between the messages
    /// that lie far apart.
    #[arg(long, default_value_t = 100_000)]
    others: usize,
    /// Messages removed in each way, size and layout.
    #[arg(long, default_value_t = 4_096)]
    messages: usize,
    /// Messages that each device has, one size after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32,64,256")]
    each: Vec<usize>,
    /// Requests in flight.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
}

/// How the messages of one device lie in the shard.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// One after the other.
    Together,
    /// Between those of 63 other devices.
    Mixed,
    /// Spread over the whole shard, as those of somebody long offline.
    Far,
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
    let bench = Bench {
        others: devices(options.others / 10),
        inboxes: Inboxes::new(bus.clone()),
        bus,
        options,
    };
    bench.write(&bench.others.repeat(10)).await;

    println!(
        "{:>5} {:>9} {:>25} {:>30} {:>22}",
        "each",
        "lie",
        "deletes: msg/s, CPU µs",
        "purges: msg/s, purge/s, CPU µs",
        "one delete, purge: ms"
    );
    for each in &bench.options.each {
        for layout in [Layout::Together, Layout::Mixed, Layout::Far] {
            let (one_delete, deletes) = bench.deletes(*each, layout).await;
            let (one_purge, purges) = bench.purges(*each, layout).await;
            println!(
                "{each:>5} {:>9} {:>25} {:>30} {:>22}",
                format!("{layout:?}"),
                format!("{:.0}, {:.0}", deletes.per_second, deletes.cpu_us),
                format!(
                    "{:.0}, {:.0}, {:.0}",
                    purges.per_second,
                    purges.per_second / *each as f64,
                    purges.cpu_us
                ),
                format!(
                    "{:.2}, {:.2}",
                    one_delete.as_secs_f64() * 1e3,
                    one_purge.as_secs_f64() * 1e3
                ),
            );
        }
    }
    Ok(())
}

struct Bench {
    bus: Bus,
    inboxes: Inboxes,
    options: Options,
    others: Vec<Device>,
}

/// What removing one message costs when many are removed.
struct Cost {
    per_second: f64,
    cpu_us: f64,
}

impl Bench {
    async fn deletes(&self, each: usize, layout: Layout) -> (Duration, Cost) {
        let stored = self.fill(each, layout).await;
        let first = |((user, _), seqs): &(Device, Vec<u64>)| (*user, seqs[0]);
        let (user, seq) = first(&stored[0]);
        let alone = time(self.inboxes.delete(user, seq)).await;
        let all = stored[1..]
            .iter()
            .flat_map(|((user, _), seqs)| seqs.iter().map(|seq| self.inboxes.delete(*user, *seq)));
        let work = stream::iter(all)
            .buffer_unordered(self.options.in_flight)
            .for_each(async |done| done.unwrap());
        (alone, self.measure(each * (stored.len() - 1), work).await)
    }

    async fn purges(&self, each: usize, layout: Layout) -> (Duration, Cost) {
        let stored = self.fill(each, layout).await;
        let purge = |((user, device), seqs): &(Device, Vec<u64>)| {
            self.inboxes.purge(*user, *device, seqs.last().copied())
        };
        let alone = time(purge(&stored[0])).await;
        let work = stream::iter(stored[1..].iter().map(purge))
            .buffer_unordered(self.options.in_flight)
            .for_each(async |done| assert_eq!(done.unwrap(), each as u64));
        (alone, self.measure(each * (stored.len() - 1), work).await)
    }

    /// Stores so many messages for each of some new devices.
    async fn fill(&self, each: usize, layout: Layout) -> Vec<(Device, Vec<u64>)> {
        let devices = devices((self.options.messages / each).max(16));
        let mut seqs = vec![Vec::with_capacity(each); devices.len()];
        let mut write = async |places: &[usize]| {
            let order: Vec<Device> = places.iter().map(|place| devices[*place]).collect();
            for (place, seq) in places.iter().zip(self.write(&order).await) {
                seqs[*place].push(seq);
            }
        };
        let all: Vec<usize> = (0..devices.len()).collect();
        match layout {
            Layout::Together => {
                write(&all.iter().flat_map(|place| vec![*place; each]).collect::<Vec<_>>()).await
            }
            Layout::Mixed => {
                write(&all.chunks(64).flat_map(|some| some.repeat(each)).collect::<Vec<_>>()).await
            }
            Layout::Far => {
                for gap in self.others.repeat(10).chunks(self.options.others / each) {
                    write(&all).await;
                    self.write(gap).await;
                }
            }
        }
        // Many writes are under way at once, and may overtake each other.
        seqs.iter_mut().for_each(|seqs| seqs.sort_unstable());
        devices.into_iter().zip(seqs).collect()
    }

    /// Stores a message for each of these; gives the positions.
    async fn write(&self, order: &[Device]) -> Vec<u64> {
        let body = Bytes::from(vec![b'x'; BODY]);
        let writes = order.iter().map(|(user, device)| {
            let subject = subject::inbox(self.bus.shards, *user, *device);
            let body = body.clone();
            async move {
                self.bus.jetstream.publish(subject, body).await.unwrap().await.unwrap().sequence
            }
        });
        stream::iter(writes).buffered(WRITES_IN_FLIGHT).collect().await
    }

    async fn measure(&self, messages: usize, work: impl Future<Output = ()>) -> Cost {
        let used = self.cpu();
        let took = time(async { Ok::<_, ()>(work.await) }).await;
        let cpu = self.cpu() - used;
        Cost {
            per_second: messages as f64 / took.as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6 / messages as f64,
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

async fn time<T, E: std::fmt::Debug>(work: impl Future<Output = Result<T, E>>) -> Duration {
    let began = Instant::now();
    work.await.unwrap();
    began.elapsed()
}
