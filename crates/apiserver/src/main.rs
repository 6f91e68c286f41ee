//! keelson-apiserver: see `keelson-apiserver --help` and docs/apiserver.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main("keelson-apiserver", apiserver::run::run)
}
