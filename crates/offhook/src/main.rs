//! The program `offhook`.

use std::process::ExitCode;

fn main() -> ExitCode {
    offhook::main()
}
