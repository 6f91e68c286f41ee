//! The controllers. Each has a `NAME` (upstream's), a `plan`, and says which keys an object's change concerns.
//!
//! [`namespace`] and [`garbage`] are tasks of their own: they work on every resource that the server serves, so what
//! they see is not in the view. Their decisions are pure as well.

pub mod deployment;
pub mod endpoints;
pub mod endpointslice;
pub mod garbage;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod pod_gc;
pub mod replicaset;
pub mod root_ca;
pub mod service_account;
pub mod taint_eviction;
pub mod volume_protection;
