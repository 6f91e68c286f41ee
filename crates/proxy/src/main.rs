//! Services to nftables, one transaction per change.

fn main() {}
