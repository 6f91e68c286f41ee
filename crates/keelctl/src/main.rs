//! The companion command line.

fn main() {}
