//! Cluster DNS: records from Services and EndpointSlices, forwarding for the rest.
//!
//! [`zone`] is the pure table of names; [`answer`] turns a question into records; `serve` speaks DNS over UDP and
//! TCP; `forward` asks the node's resolvers; `run` keeps the zone current from the API.
//! Names follow the Kubernetes DNS specification 1.1.0.

pub mod answer;
pub mod config;
pub mod forward;
#[cfg(test)]
mod fuzz;
pub mod records;
pub mod run;
pub mod serve;
pub mod zone;
