//! Starts what dies again.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{Process, Stack, error::describe};

/// Before a process that ran well is started again.
const FIRST_DELAY: Duration = Duration::from_millis(200);
/// The delay doubles up to here while a process dies soon or does not start.
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// A process that ran for so long ran well.
const RAN_WELL: Duration = Duration::from_secs(10);

/// Starts every process of a stack again whenever it dies. Ends with its caller.
pub(crate) async fn supervise(stack: &Stack) {
    join_all(stack.processes().map(keep_alive)).await;
}

async fn keep_alive(process: &Process) {
    let mut delay = FIRST_DELAY;
    loop {
        let since = Instant::now();
        let status = process.exited().await;
        if since.elapsed() >= RAN_WELL {
            delay = FIRST_DELAY;
        }
        let name = process.name();
        tracing::warn!("{name} died ({}), starting it again", describe(status));
        sleep(delay).await;
        delay = (2 * delay).min(LONGEST_DELAY);
        match process.restart().await {
            Ok(()) => tracing::info!("{name} is back"),
            // What did not start is dead or killed by the next attempt.
            Err(error) => tracing::error!("{error}"),
        }
    }
}
