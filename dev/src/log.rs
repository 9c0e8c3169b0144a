//! Where the parts' output goes.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use crate::child::Log;

/// Keeps the parts' output to themselves; the last lines still explain a start
/// that fails.
pub(crate) fn quiet() -> Log {
    Arc::new(|_, _| ())
}

/// Every line on stderr, behind the name of the part it comes from.
pub(crate) fn stderr() -> Log {
    Arc::new(|part, line| {
        // Whoever closed stderr does not want to know.
        drop(writeln!(io::stderr().lock(), "{part:<9} | {line}"));
    })
}
