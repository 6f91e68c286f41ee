//! Runs pods on containerd: plan, then act.

use std::process::ExitCode;

use kubelet::config::Config;
use kubelet::logs;

fn main() -> ExitCode {
    // A pod's log writer is this program, too: small, without a runtime.
    if std::env::args().nth(1).as_deref() == Some(logs::control::SUBCOMMAND) {
        return match logs::writer::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    daemon::main::<Config, _, _, _>("keelson-kubelet", kubelet::run::run)
}
