//! Starting a gateway, and stopping it without losing anybody's message.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use nats::{Bus, Inboxes, MediaQueue, PresenceKv, PushKv, ReceiptsKv, mux::Mux, subject};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    absence::Absence,
    acks::Acks,
    app::App,
    config::Config,
    group::Groups,
    http,
    inlet::Inlet,
    limits::Limits,
    media::{Intake, Sharing},
    password::Passwords,
    poll::Turns,
    presence::{Registry, Watching},
    roster::Roster,
    serve::serve,
    token::Tokens,
};

/// Connections that wait to be accepted; the system's own limit
/// (`net.core.somaxconn`) may be lower.
const ACCEPT_QUEUE: u32 = 16_384;
/// How often the rate limits forget who was quiet.
const SWEEP: Duration = Duration::from_secs(60);
/// How long what is under way may take after the last session closed.
const LAST_WORK: Duration = Duration::from_secs(20);
/// How long the last acknowledgements may take.
const LAST_ACKS: Duration = Duration::from_secs(5);

/// A gateway that serves.
pub struct Running {
    /// Where clients connect.
    pub addr: SocketAddr,
    /// Where the operator looks.
    pub admin_addr: SocketAddr,
    app: Arc<App>,
    top: TaskTracker,
    background: TaskTracker,
    stopped: CancellationToken,
}

/// Starts a gateway; it serves when this returns.
///
/// # Errors
/// When an address is taken, or NATS or its streams are not there in time.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    let listener = listen(config.listen).with_context(|| {
        format!("cannot listen on {}: is it in use? Set --listen", config.listen)
    })?;
    let addr = listener.local_addr()?;
    let admin = admin::bind(config.admin_listen).await.with_context(|| {
        format!("cannot listen on {}: is it in use? Set --admin-listen", config.admin_listen)
    })?;
    let admin_addr = admin.addr();
    let stopped = CancellationToken::new();
    let background = TaskTracker::new();
    let app = app(config, &background, &stopped).await?;
    let top = TaskTracker::new();

    let ready = Arc::clone(&app);
    top.spawn(stop_all(stopped.clone(), admin.run(move || ready.is_ready(), stopped.clone())));

    let serve = serve(listener, http::router(Arc::clone(&app)), app.closing.clone());
    top.spawn(stop_all(stopped.clone(), serve.map(Ok::<_, Infallible>)));

    let limits = Arc::clone(&app);
    let until = stopped.clone();
    top.spawn(async move {
        let sweep = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                limits.limits.sweep();
            }
        };
        until.run_until_cancelled(sweep).await;
    });
    top.close();
    tracing::info!(gateway = app.name, %addr, %admin_addr, "gateway serves");
    Ok(Running { addr, admin_addr, app, top, background, stopped })
}

impl Running {
    /// Begins to leave: sessions are told to go elsewhere, and closed when
    /// their time is up.
    pub fn drain(&self) {
        if self.app.draining.is_cancelled() {
            return;
        }
        tracing::info!(gateway = self.app.name, "draining");
        self.app.draining.cancel();
        let app = Arc::clone(&self.app);
        let stopped = self.stopped.clone();
        tokio::spawn(async move {
            let sessions_left = async {
                app.tasks.close();
                app.tasks.wait().await;
            };
            // Nobody waits for a gateway that has no sessions any more.
            let _ = tokio::time::timeout(app.config.drain(), sessions_left).await;
            app.closing.cancel();
            let finished = tokio::time::timeout(LAST_WORK, app.tasks.wait()).await;
            if finished.is_err() {
                tracing::warn!("some sessions did not end in time");
            }
            stopped.cancel();
        });
    }

    /// Waits until the gateway has stopped: after a drain, or because a part of
    /// it failed, which is an error.
    ///
    /// # Errors
    /// When a part failed.
    pub async fn wait(self) -> anyhow::Result<()> {
        let Self { app, top, background, stopped, .. } = self;
        stopped.cancelled().await;
        top.wait().await;
        let failed = !app.draining.is_cancelled();
        // The last handle to the acks goes with the app; what they hold is
        // published before their task ends.
        drop(app);
        background.close();
        if tokio::time::timeout(LAST_ACKS, background.wait()).await.is_err() {
            tracing::warn!("some acknowledgements were not published: their messages come again");
        }
        anyhow::ensure!(!failed, "a part of the gateway failed");
        Ok(())
    }

    /// Waits until the gateway has stopped, and begins to drain it when `stop`
    /// is over.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn wait_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::select! {
            () = self.stopped.cancelled() => {}
            () = stop => self.drain(),
        }
        self.wait().await
    }
}

/// Listens with a queue that holds the people of a gateway that just died: a
/// connection that finds it full comes again only after a second or more.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_QUEUE)
}

/// The first part to end stops all.
async fn stop_all<E: std::fmt::Display>(
    stopped: CancellationToken,
    part: impl Future<Output = Result<(), E>>,
) {
    if let Err(error) = part.await {
        tracing::error!(%error, "a part of the gateway failed");
    }
    stopped.cancel();
}

async fn app(
    config: Config,
    background: &TaskTracker,
    stopped: &CancellationToken,
) -> anyhow::Result<Arc<App>> {
    let name = config.name.clone().unwrap_or_else(|| {
        format!("gw-{}", ulid::Ulid::generate().to_string().split_at(18).1.to_lowercase())
    });
    let bus = Bus::connect(&config.nats, &name).await?;
    bus.ready().await?;
    let directory = store::open(&config.directory, &bus).await?;
    let objects = store::Objects::open(&config.objects)?;
    let absence = Absence::default();
    let roster = Roster::new(Arc::clone(&directory), absence.clone());
    let tasks = TaskTracker::new();
    let mux = Mux::start(&config.nats, &name, background, stopped.clone());
    let groups =
        Groups::start(&bus, &name, config.lease(), roster.clone(), background, stopped).await?;
    let registry = Registry::default();
    let (gateway, lease) = (groups.gateway(), groups.lease());
    background.spawn(registry.clone().keep(bus.clone(), gateway, lease, stopped.clone()));
    let watching = Watching::new(
        PresenceKv::new(bus.clone()),
        roster.clone(),
        mux.clone(),
        background.clone(),
        stopped.clone(),
    );
    let app = App {
        name,
        registry,
        watching: watching.clone(),
        mux: mux.clone(),
        inboxes: Inboxes::new(bus.clone()),
        receipts: ReceiptsKv::new(bus.clone()),
        acks: Acks::start(bus.clone(), background),
        turns: Turns::default(),
        tokens: Tokens::new(&config.signing_key),
        passwords: Passwords::new(config.argon2_memory_kib, config.argon2_passes)?,
        limits: Limits::new(&config.limits),
        reads: App::read_permits(),
        draining: CancellationToken::new(),
        closing: CancellationToken::new(),
        tasks,
        roster: roster.clone(),
        absence,
        groups,
        directory,
        intake: Intake::new(objects.can_sign()),
        objects,
        sharing: Sharing::new(),
        push: PushKv::new(bus.clone()),
        media: MediaQueue::new(bus.clone()),
        bus,
        config,
    };
    // Lives as long as the process: the cache is never without it.
    let changed = mux.subscribe(subject::CHANGED_WILDCARD, Inlet::Changed(roster, watching));
    mux.flush().await.context("NATS does not take subscriptions")?;
    let until = stopped.clone();
    background.spawn(async move {
        until.cancelled().await;
        drop(changed);
    });
    Ok(Arc::new(app))
}
