//! Connections are accepted, and HTTP is served on them.
//!
//! This is done here and not by axum because a client that never finishes what
//! it began to ask is to lose its connection, and because a WebSocket wants the
//! TCP stream itself.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the head of a request may take, with the time in which nothing is
/// asked before it. A load balancer that keeps idle connections, for 60 s as
/// most do, must not find them closed.
const HEAD: Duration = Duration::from_secs(75);
/// How long nobody is let in when that failed: most likely for want of file
/// descriptors, which come back when others go.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// Serves until it is closing, and then until what was asked is answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, closing: CancellationToken) {
    let connections = TaskTracker::new();
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                let (router, closing) = (router.clone(), closing.clone());
                connections.spawn(connection(stream, peer, router, closing));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    closing: CancellationToken,
) {
    // A frame is written whole: it should leave at once.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    /// Writes that, and reads until the connection is closed from there.
    async fn ask(text: &str, closing: &CancellationToken) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "here"));
        tokio::spawn(serve(listener, router, closing.clone()));
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(100 * HEAD, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_a_request_or_asks_nothing_is_cut_off() {
        for text in ["", "GET / HTTP/1.1\r\nHost: petrel\r\n"] {
            assert!(!ask(text, &CancellationToken::new()).await.contains("here"));
        }
    }

    #[tokio::test]
    async fn what_was_asked_is_answered_though_it_is_closing() {
        let closing = CancellationToken::new();
        let asking = ask("GET / HTTP/1.1\r\nHost: petrel\r\nConnection: close\r\n\r\n", &closing);
        assert!(asking.await.ends_with("here"));
    }
}
