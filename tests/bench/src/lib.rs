//! What the benches share: a generator of gRPC calls that is cheaper than what it measures, and a look at processes.

pub mod calls;
pub mod drive;
pub mod frame;
pub mod process;
mod refusal;
