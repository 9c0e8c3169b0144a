//! What tests share: a nats-server that nobody kills.

use dev::{NatsServer, SyncMode};
use tokio::sync::OnceCell;

/// A nats-server for all tests of this process; it dies with the process.
/// Do not kill it: start one of your own for that.
pub(crate) async fn shared_nats() -> &'static NatsServer {
    static SHARED: OnceCell<NatsServer> = OnceCell::const_new();
    SHARED.get_or_init(async || NatsServer::start(SyncMode::Default).await.unwrap()).await
}
