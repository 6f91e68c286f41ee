//! `keelson-store`: one member of the store.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main::<store::config::Config, _, _, _>("keelson-store", store::run::run)
}
