//! Services to nftables, one transaction per change.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main::<proxy::config::Config, _, _, _>("keelson-proxy", proxy::run::run)
}
