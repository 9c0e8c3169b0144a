//! The terminal chat; see `dev::chat`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dev::chat::main()
}
