//! The admin port that every Petrel process has: `/live`, `/ready`, `/metrics`.
//!
//! It is meant for the operator's network and never for clients. It knows
//! nothing of Petrel: what "ready" means is the caller's to say.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, http::header::CONTENT_TYPE, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A bound admin port that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
}

/// Binds the admin port, and starts to collect what the `metrics` macros record.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(listen: SocketAddr) -> io::Result<Server> {
    recorder();
    let listener = TcpListener::bind(listen).await?;
    let addr = listener.local_addr()?;
    Ok(Server { listener, addr })
}

impl Server {
    /// Where it is bound: the port is known here even if 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until `shutdown`. Cancel it last, after the drain, so that the
    /// operator can watch a process leave: `/ready` is what turns first.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(
        self,
        ready: impl Fn() -> bool + Send + Sync + 'static,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let serve = axum::serve(self.listener, router(Arc::new(ready)))
            .with_graceful_shutdown(shutdown.clone().cancelled_owned());
        tokio::select! {
            served = serve => served,
            () = upkeep() => Ok(()),
        }
    }
}

type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

fn router(ready: Ready) -> Router {
    Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(answer_ready))
        .route("/metrics", get(async || ([(CONTENT_TYPE, TEXT_FORMAT)], recorder().render())))
        .with_state(ready)
}

async fn answer_ready(State(ready): State<Ready>) -> (StatusCode, &'static str) {
    if ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// Prometheus' text exposition format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Histograms count into these buckets: they are named `…_seconds` when they
/// measure time, and anything else that is counted (batches, bytes) reads well
/// enough in the powers of ten beyond.
const BUCKETS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 100.0, 300.0, 1_000.0, 10_000.0,
];

/// How often what histograms gathered is moved out of their buffers.
const UPKEEP: Duration = Duration::from_secs(5);

async fn upkeep() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        recorder().run_upkeep();
    }
}

/// The recorder is one per process, while tests and `cargo dev` run several
/// parts of Petrel in one: they share it.
fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        #[allow(
            clippy::expect_used,
            reason = "fails only without buckets or with a second recorder"
        )]
        PrometheusBuilder::new()
            .set_buckets(BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .expect("nothing else installs a metrics recorder")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_what_an_operator_asks_and_leaves_when_told() {
        let ready = Arc::new(AtomicBool::new(false));
        let shutdown = CancellationToken::new();
        let server = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = server.addr();
        let is_ready = ready.clone();
        let task =
            tokio::spawn(server.run(move || is_ready.load(Ordering::Relaxed), shutdown.clone()));

        assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
        assert!(get(addr, "/ready").await.starts_with("HTTP/1.1 503"));
        ready.store(true, Ordering::Relaxed);
        assert!(get(addr, "/ready").await.starts_with("HTTP/1.1 200"));

        metrics::counter!("admin_test_total").increment(3);
        metrics::histogram!("admin_test_seconds").record(0.002);
        let page = get(addr, "/metrics").await;
        assert!(page.contains("admin_test_total 3"), "{page}");
        assert!(page.contains("admin_test_seconds_bucket{le=\"0.0025\"} 1"), "{page}");
        assert!(get(addr, "/").await.starts_with("HTTP/1.1 404"));

        shutdown.cancel();
        task.await.unwrap().unwrap();
        assert!(TcpStream::connect(addr).await.is_err());
    }
}
