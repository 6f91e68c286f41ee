//! Namespaces, mounts and cgroups: the only crate that may hold unsafe code.
