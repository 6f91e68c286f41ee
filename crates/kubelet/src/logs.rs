//! Container logs: one writer process per pod, which the kubelet starts and talks to.
//!
//! The containers write to named pipes, not to a `binary://` program of the shim: the shim signals the program's process
//! id when a container ends, so such a program cannot serve several containers, cannot be replaced when it is killed,
//! and cannot feed a standard input. A named pipe is held open by the shim; a new writer finds every byte in it.

pub mod control;
pub mod file;
pub mod format;
pub mod protocol;
pub mod read;
pub mod writer;

pub use control::Writer;
pub use file::Limits;
