//! Services to nftables, one transaction per change.
