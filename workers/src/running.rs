//! Workers, from start to end.

use std::{
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use nats::{
    Bus, Inboxes, ReceiptsKv,
    subject::{self, Shard},
};
use store::{Directory, Objects};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};
use tracing::{info, warn};

use crate::{
    Config,
    media::{self, Arrivals, Sweep},
    presence::{self, Departures, Presence},
    push::{self, Push, Targets, sender::Senders},
    receipts::Receipts,
    runner::{self, Asking, Ending, Runner, Source},
    volatile,
};

/// Events pulled before there is room for them, of those that take no time.
const PULLED_AHEAD: usize = 256;
/// How long a batch of those may be handled. Every request in it has a shorter
/// limit.
const LONGEST_HANDLING: Duration = Duration::from_secs(60);
/// How long the last acknowledgements may take to leave.
const FLUSH: Duration = Duration::from_secs(2);
/// Workers besides those of push, of which each shard has one.
const RUNNERS: u32 = 4;
/// Messages of one shard that are looked at together: more than providers are
/// asked at once, so that one that is silent leaves room for the others.
const PUSH_IN_HAND: usize = 1_024;
/// How long the operator's last requests may take.
const ADMIN_END: Duration = Duration::from_secs(1);

/// Workers at work. Dropping it stops them in the middle of whatever they do,
/// as a crash would: nothing is lost by that, it only comes again.
#[derive(Debug)]
pub struct Running {
    /// Where `/live`, `/ready` and `/metrics` are.
    pub admin_addr: SocketAddr,
    drain: CancellationToken,
    supervisor: AbortOnDropHandle<anyhow::Result<()>>,
    abandon: DropGuard,
}

impl Running {
    /// Pulls nothing more, finishes what is in hand within
    /// [`Config::drain_secs`], leaves the rest unacknowledged, and ends.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it came without [`Running::drain`].
    pub async fn wait(self) -> anyhow::Result<()> {
        let Self { supervisor, abandon: _abandon, .. } = self;
        supervisor.await.context("the workers panicked")?
    }

    /// Waits for the end, and drains once `stop` is over.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub async fn wait_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let drain = self.drain.clone();
        let mut end = pin!(self.wait());
        tokio::select! {
            ended = &mut end => return ended,
            () = stop => drain.cancel(),
        }
        end.await
    }
}

/// Starts the workers: answers once NATS is connected and its streams are there.
///
/// # Errors
/// When the admin address cannot be bound, or NATS is not ready in time.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    let admin = admin::bind(config.admin_listen)
        .await
        .with_context(|| format!("binding the admin address {}", config.admin_listen))?;
    let admin_addr = admin.addr();
    let ending = Ending::default();
    let mut tasks = Tasks::default();
    let pulling: Pulling = (0..RUNNERS + config.nats.shards).map(|_| Arc::default()).collect();
    tasks.serve(admin, pulling.clone(), ending.drain.clone());

    let senders = Arc::new(Senders::new(&config.push)?);
    let bus = Bus::connect(&config.nats, "petrel workers").await?;
    volatile::restore(&bus).await;
    bus.ready().await?;
    let keeping = bus.clone();
    tasks.keep("volatile", &ending, async move { volatile::keep(&keeping).await });
    let directory = store::open(&config.directory, &bus).await?;
    let objects = Objects::open(&config.objects)?;
    let mut pulling = pulling.into_iter();
    let mut pulls = || pulling.next().unwrap_or_default();
    tasks.run("receipts", receipts_worker(&config, &bus, &ending, pulls()).run());
    tasks.run("presence", presence_worker(&config, &bus, &ending, pulls()).run());
    tasks.run("departures", departures_worker(&config, &bus, &ending, pulls()).run());
    let inboxes = Inboxes::new(bus.clone());
    let sweep = Sweep::new(Arc::clone(&directory), objects.clone(), inboxes, &config.media);
    tasks.keep("sweep", &ending, sweep.keep_on());
    let targets = Targets::new(Arc::clone(&directory));
    let arrivals = media_worker(&config, &bus, directory, objects, &ending, pulls());
    tasks.run("media", arrivals.run());
    let push = Push::new(&bus, targets.clone(), senders);
    for shard in bus.shards.all() {
        tasks.run("push", push_worker(&bus, &push, shard, &ending, pulls()).run());
    }
    tasks.keep("push targets", &ending, targets.keep(bus.clone()));
    tasks.keep("vapid", &ending, push.keep_vapid());
    tasks.keep("review", &ending, presence::review(bus.clone()));
    info!(admin = %admin_addr, "workers started");

    let drain = ending.drain.clone();
    let abandon = ending.abandon.clone().drop_guard();
    let supervisor =
        AbortOnDropHandle::new(tokio::spawn(tasks.supervise(ending, config.drain(), bus)));
    Ok(Running { admin_addr, drain, supervisor, abandon })
}

fn receipts_worker(
    config: &Config,
    bus: &Bus,
    ending: &Ending,
    pulling: Arc<AtomicBool>,
) -> Runner<Receipts<ReceiptsKv, Inboxes>> {
    let source = Source {
        worker: "receipts",
        stream: subject::RECEIPTS_STREAM.into(),
        consumer: subject::RECEIPTS_CONSUMER,
    };
    let (bucket, inboxes) = (ReceiptsKv::new(bus.clone()), Inboxes::new(bus.clone()));
    let handler = Receipts::new(bucket, inboxes, bus.shards, config.deletes.get().into());
    Runner::new(bus.clone(), source, bounds(config), handler, ending.clone(), pulling)
}

fn presence_worker(
    config: &Config,
    bus: &Bus,
    ending: &Ending,
    pulling: Arc<AtomicBool>,
) -> Runner<Presence<presence::Nats, presence::Nats>> {
    let source = Source {
        worker: "presence",
        stream: subject::SESSIONS_STREAM.into(),
        consumer: subject::SESSIONS_CONSUMER,
    };
    let nats = presence::Nats::new(bus);
    let handler = Presence::new(nats.clone(), nats, config.presence_grace());
    Runner::new(bus.clone(), source, bounds(config), handler, ending.clone(), pulling)
}

fn departures_worker(
    config: &Config,
    bus: &Bus,
    ending: &Ending,
    pulling: Arc<AtomicBool>,
) -> Runner<Departures> {
    let source = Source {
        worker: "departures",
        stream: subject::GATEWAYS_STREAM.into(),
        consumer: subject::GATEWAYS_CONSUMER,
    };
    let handler = Departures(presence::Nats::new(bus));
    Runner::new(bus.clone(), source, bounds(config), handler, ending.clone(), pulling)
}

fn media_worker(
    config: &Config,
    bus: &Bus,
    directory: Arc<dyn Directory>,
    objects: Objects,
    ending: &Ending,
    pulling: Arc<AtomicBool>,
) -> Runner<Arrivals> {
    let source = Source {
        worker: "media",
        stream: subject::MEDIA_STREAM.into(),
        consumer: subject::MEDIA_CONSUMER,
    };
    let bounds = runner::Bounds {
        batch: 1,
        in_hand: usize::from(config.media.media_in_hand.get()) + media::LOOKS_IN_HAND,
        asking: Asking::Ahead(media::LOOKS_AHEAD),
        longest: media::LONGEST_HANDLING,
    };
    let handler = Arrivals::new(directory, objects, Inboxes::new(bus.clone()), &config.media);
    Runner::new(bus.clone(), source, bounds, handler, ending.clone(), pulling)
}

fn push_worker(
    bus: &Bus,
    push: &Push,
    shard: Shard,
    ending: &Ending,
    pulling: Arc<AtomicBool>,
) -> Runner<Push> {
    let source = Source {
        worker: "push",
        stream: subject::inbox_stream(shard).into(),
        consumer: subject::PUSH_CONSUMER,
    };
    let bounds = runner::Bounds {
        batch: PULLED_AHEAD,
        in_hand: PUSH_IN_HAND,
        asking: Asking::Resting(PULLED_AHEAD, push::SETTLE),
        longest: LONGEST_HANDLING,
    };
    Runner::new(bus.clone(), source, bounds, push.clone(), ending.clone(), pulling)
}

fn bounds(config: &Config) -> runner::Bounds {
    runner::Bounds {
        batch: config.batch.get().into(),
        in_hand: config.in_hand.get().into(),
        asking: Asking::Ahead(PULLED_AHEAD),
        longest: LONGEST_HANDLING,
    }
}

/// Whether each of the runners is pulling.
type Pulling = Vec<Arc<AtomicBool>>;

/// The top-level tasks. They end together: the first to end ends all.
#[derive(Default)]
struct Tasks {
    workers: JoinSet<&'static str>,
    admin: JoinSet<std::io::Result<()>>,
    admin_end: CancellationToken,
}

impl Tasks {
    fn serve(&mut self, admin: admin::Server, pulling: Pulling, drain: CancellationToken) {
        let pull = move || pulling.iter().all(|pulls| pulls.load(Ordering::Relaxed));
        let ready = move || pull() && !drain.is_cancelled();
        self.admin.spawn(admin.run(ready, self.admin_end.clone()));
    }

    fn run(&mut self, name: &'static str, worker: impl Future<Output = ()> + Send + 'static) {
        self.workers.spawn(async move {
            worker.await;
            name
        });
    }

    /// Runs what would go on for ever until the end is near.
    fn keep<T>(
        &mut self,
        name: &'static str,
        ending: &Ending,
        task: impl Future<Output = T> + Send + 'static,
    ) {
        let until = ending.clone();
        self.run(name, async move {
            until.near_or(task).await;
        });
    }

    /// Waits for the drain, or for what should not have ended, and ends it all.
    async fn supervise(mut self, ending: Ending, grace: Duration, bus: Bus) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            // What ends because of the drain did not end by itself.
            biased;
            () = ending.drain.cancelled() => Ok(()),
            Some(ended) = self.workers.join_next() => Err(match ended {
                Ok(name) => anyhow!("the {name} worker ended by itself"),
                Err(error) => anyhow!(error).context("a worker panicked"),
            }),
            Some(ended) = self.admin.join_next() => Err(match ended {
                Ok(Ok(())) => anyhow!("the admin server ended by itself"),
                Ok(Err(error)) => anyhow!(error).context("the admin server failed"),
                Err(error) => anyhow!(error).context("the admin server panicked"),
            }),
        };
        ending.drain.cancel();
        if timeout(grace, all(&mut self.workers)).await.is_err() {
            warn!(?grace, "not finished within the grace time: the rest stays unacknowledged");
            ending.abandon.cancel();
            all(&mut self.workers).await;
        }
        // Acknowledgements only lie in the client's buffer so far.
        if !matches!(timeout(FLUSH, bus.client.flush()).await, Ok(Ok(()))) {
            warn!("the last acknowledgements may not have left: their events come again");
        }
        self.admin_end.cancel();
        let _ = timeout(ADMIN_END, all(&mut self.admin)).await;
        info!("workers ended");
        outcome
    }
}

async fn all<T: 'static>(tasks: &mut JoinSet<T>) {
    while tasks.join_next().await.is_some() {}
}
