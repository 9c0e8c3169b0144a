//! What a person sees while it runs: a line on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(200);

/// A bar that fills up to `length`; hidden where nobody watches.
pub(super) fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} [{bar:30}] {pos}/{len} {wide_msg}");
    let bar = ProgressBar::new(length).with_prefix(what);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
}

/// A line that moves while there is nothing to count.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} {spinner} {elapsed} {wide_msg}");
    let spinner = ProgressBar::new_spinner().with_prefix(what);
    spinner.enable_steady_tick(REDRAW);
    spinner.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
