//! End-to-end tests on real containerd, runc and nftables, each named for what a user sees.
