//! Probes and hooks: one try of each kind, and what a row of tries amounts to.

pub mod attempt;
pub mod grpc;
pub mod http;
pub mod task;
pub mod verdict;
