//! `keelson-store`: one member of the store.

use std::process::ExitCode;

/// Messages of a few KiB come and go with each call, which glibc's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daemon::main::<store::config::Config, _, _, _>("keelson-store", store::run::run)
}
