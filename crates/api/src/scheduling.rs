//! What the scheduler and the kubelet's admission must mean alike: amounts of resources, and terms on nodes.

pub mod resource;
pub mod selector;
