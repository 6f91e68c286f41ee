//! End-to-end tests on real containerd, runc and nftables, each named for what a user sees.
//!
//! A suite (a file in `tests/`) starts one cluster in a network namespace and runs its tests one after the other, each in
//! a Kubernetes namespace of its own. Tests drive the cluster from outside, with `keelctl` and sockets.

pub mod behaviour;
pub mod client;
pub mod evict;
pub mod manifest;
pub mod ports;
pub mod space;
pub mod suite;
pub mod world;

pub use space::Space;
pub use suite::{Test, run};
pub use world::World;
