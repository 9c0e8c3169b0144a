//! The load generator; see `dev::load`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Its own stack's parts are this binary again.
    if let Some(code) = dev::enter() {
        return code;
    }
    dev::load::main()
}
