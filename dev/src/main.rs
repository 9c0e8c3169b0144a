//! `cargo dev`: a whole local Petrel in one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = dev::enter() {
        return code;
    }
    dev::command()
}
