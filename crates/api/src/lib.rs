//! What Kubernetes objects mean: metadata, quantities, selectors, defaults, validation, patches, the resource table. No I/O.

pub mod print;
