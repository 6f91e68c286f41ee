//! The controllers. Each has a `NAME` (upstream's), a `plan`, and says which keys an object's change concerns.

pub mod deployment;
pub mod endpoints;
pub mod endpointslice;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod replicaset;
pub mod root_ca;
pub mod service_account;
