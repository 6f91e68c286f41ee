//! Namespaces, mounts and cgroups: the only crate that may hold unsafe code.
//!
//! Everything here blocks and is short; callers on an async runtime use a blocking task. Nothing here decides.

pub mod cgroup;
pub mod fifo;
pub mod mount;
pub mod ns;

use std::path::PathBuf;

/// A kernel operation that failed, with the path it was about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{operation} {path}")]
    Path { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{operation}")]
    Call { operation: &'static str, source: nix::errno::Errno },
    #[error("start a thread for a namespace")]
    Thread(#[source] std::io::Error),
    #[error("a thread in a namespace panicked")]
    Panicked,
}

/// What every call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn at(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Path { operation, path, source }
}

pub(crate) fn at_errno(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(nix::errno::Errno) -> Error {
    let path = path.into();
    move |errno| Error::Path { operation, path, source: errno.into() }
}

pub(crate) fn call(operation: &'static str) -> impl FnOnce(nix::errno::Errno) -> Error {
    move |source| Error::Call { operation, source }
}
