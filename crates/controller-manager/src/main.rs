//! keelson-controller-manager: makes the cluster what its objects say.

use std::process::ExitCode;

use controller_manager::flags::Flags;
use controller_manager::run;

fn main() -> ExitCode {
    daemon::main::<Flags, _, _, _>("keelson-controller-manager", run::run)
}
