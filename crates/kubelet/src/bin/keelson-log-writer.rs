//! A pod's log writer as a program of its own: it links only what it needs, so that one per pod costs little memory.

use std::process::ExitCode;

fn main() -> ExitCode {
    match kubelet::logs::writer::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
