//! `keelson-dns`: flags, then [`dns::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::process::main::<dns::config::Config, _, _, _>("keelson-dns", dns::run::run)
}
