//! Level-triggered controllers, one file each, as pure plans.
//!
//! A controller's file holds `plan(objects, now) -> Plan`; [`plan`] says what a plan is. Running them (informers, queues,
//! leader election, writes) is the job of `run` and `execute`.

pub mod deployment;
pub mod endpoints;
pub mod endpointslice;
pub mod node_ipam;
pub mod plan;
pub mod pod;
pub mod replicaset;
pub mod root_ca;
pub mod service_account;

#[cfg(test)]
mod sim;
