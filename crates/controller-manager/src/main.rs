//! Level-triggered controllers, one file each, as pure plans.

fn main() {}
