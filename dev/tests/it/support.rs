//! What tests share: a nats-server and a stack that nobody kills.

use dev::{NatsServer, Stack, StackBuilder, SyncMode};
use tokio::sync::OnceCell;

/// A nats-server for all tests of this process, without streams; it dies with
/// the process. Do not kill it: start one of your own for that.
pub(crate) async fn shared_nats() -> &'static NatsServer {
    static SHARED: OnceCell<NatsServer> = OnceCell::const_new();
    SHARED.get_or_init(async || NatsServer::start(SyncMode::Default).await.unwrap()).await
}

/// A stack of two gateways and a worker for all tests of this process; it dies
/// with the process. Do not kill any of it: start one of your own for that.
pub(crate) async fn shared_stack() -> &'static Stack {
    static SHARED: OnceCell<Stack> = OnceCell::const_new();
    SHARED.get_or_init(async || stack().gateways(2).start().await.unwrap()).await
}

/// How to start a stack of one's own, with password hashes that cost little.
/// With `PETREL_TEST_LOGS` set it says on stderr what it does.
pub(crate) fn stack() -> StackBuilder {
    let stack = Stack::builder()
        .env("PETREL_ARGON2_MEMORY_KIB", "8")
        .env("PETREL_ARGON2_PASSES", "1")
        .env("PETREL_DRAIN_SECS", "1");
    if std::env::var_os("PETREL_TEST_LOGS").is_some() { stack.log_to_stderr() } else { stack }
}
