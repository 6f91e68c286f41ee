//! Ports of a pod, forwarded to a client.

pub mod channels;
pub mod spdy;
