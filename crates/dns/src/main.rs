//! Cluster DNS: records from Services and EndpointSlices, forwarding for the rest.

fn main() {}
