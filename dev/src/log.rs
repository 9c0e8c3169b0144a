//! Where the processes' output goes.

use std::{
    io::{self, Write},
    sync::Arc,
};

use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::child::Log;

/// Keeps it to the processes; the last lines still explain a start that fails.
pub(crate) fn quiet() -> Log {
    Arc::new(|_, _| ())
}

/// Every line on stderr, behind the name of the process it comes from.
pub(crate) fn stderr() -> Log {
    Arc::new(|process, line| {
        // Whoever closed stderr does not want to know.
        drop(writeln!(io::stderr().lock(), "{process:<9} | {line}"));
    })
}

/// As [`stderr`], but a nats-server that has nothing to complain of is shown
/// only to those who asked for details.
pub(crate) fn terse_stderr() -> Log {
    let all = stderr();
    let detailed = tracing::enabled!(Level::DEBUG);
    Arc::new(move |process, line| {
        if detailed || !line.contains(" [INF] ") {
            all(process, line);
        }
    })
}

/// Logs of the process that runs a stack for a person: as its children's lines.
pub(crate) fn init_supervisor() {
    tracing_subscriber::fmt().with_env_filter(filter()).with_ansi(false).with_writer(|| Own).init();
}

/// Logs of a gateway or worker: its parent puts the name before them.
pub(crate) fn init_role() {
    let builder = tracing_subscriber::fmt().with_env_filter(filter()).with_ansi(false);
    builder.with_writer(io::stderr).init();
}

/// What is logged unless RUST_LOG says otherwise: neither every connection to
/// NATS nor every stream that is made.
const FILTER: &str = "info,async_nats=warn,nats::reconcile=warn";

fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER))
}

/// Writes an event, which comes in one piece, as a line of a process named dev.
struct Own;

impl Write for Own {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = [format!("{:<9} | ", "dev").as_bytes(), event].concat();
        io::stderr().write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
