//! keelson-apiserver: see `keelson-apiserver --help` and docs/apiserver.md.

use std::process::ExitCode;

/// Objects are many small pieces, made and dropped with each request, which glibc's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daemon::main("keelson-apiserver", apiserver::run::run)
}
