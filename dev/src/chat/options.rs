//! What can be asked of the terminal chat.

use std::path::PathBuf;

use clap::Parser;

/// Chats with somebody from a terminal, or from a pipe, line by line.
///
/// Who is not registered yet is registered. The device is remembered; messages
/// that could not be sent are kept and sent next time. What was read is gone:
/// a session shows only its own history.
#[derive(Debug, Clone, Parser)]
#[command(name = "petrel-chat", version)]
pub(super) struct Options {
    /// Your username
    #[arg(long)]
    pub(super) user: String,

    /// Your password; asked for where it is needed and not given
    #[arg(long, env = "PETREL_PASSWORD", hide_env_values = true)]
    pub(super) password: Option<String>,

    /// The gateway; again for more, which are tried in turn
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: Vec<String>,

    /// Username of the one to talk to, or #NAME of a group; later with /to
    #[arg(long, value_name = "USER")]
    pub(super) to: Option<String>,

    /// Line by line, even at a terminal
    #[arg(long)]
    pub(super) plain: bool,

    /// Where the device is remembered, instead of a file in your configuration folder
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
}
