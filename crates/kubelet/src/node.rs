//! The Node object: registered, kept current, and alive by its Lease.

pub mod facts;
pub mod lease;
pub mod network;
pub mod object;
pub mod pressure;
pub mod register;
