//! Everything generated from `proto/`.
//!
//! The Kubernetes objects (`core::v1::Pod`, `apps::v1::Deployment`, `meta::v1::ObjectMeta`, ...) always; the gRPC
//! contracts (`keelson`, `etcdserverpb`) with the feature `rpc`. No I/O, no clock.
//!
//! A plain field is always written and its absence reads as zero; an `Option` is written only when set. So encoding
//! gives the bytes that Kubernetes' own encoder gives.

pub mod any;
pub mod custom;
pub mod dynamic;
pub mod envelope;
pub mod json;
pub mod kind;
pub mod quantity;
pub mod reflect;
#[cfg(feature = "rpc")]
pub mod rpc_status;
pub mod schema;
pub mod time;

#[allow(clippy::all, missing_docs, rust_2018_idioms, non_upper_case_globals)] // generated code
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
}

#[allow(non_upper_case_globals)]
mod kinds {
    include!(concat!(env!("OUT_DIR"), "/kinds.rs"));
}

pub use custom::CustomObject;
pub use generated::k8s::io as k8s;
pub use generated::k8s::io::api::*;
pub use generated::k8s::io::apiextensions_apiserver::pkg::apis::apiextensions;
pub use generated::k8s::io::apimachinery::pkg::api::resource::Quantity;
pub use generated::k8s::io::apimachinery::pkg::apis::meta;
pub use generated::k8s::io::apimachinery::pkg::runtime;
pub use generated::k8s::io::apimachinery::pkg::util::intstr::IntOrString;
pub use generated::k8s::io::kube_aggregator::pkg::apis::apiregistration;
pub use generated::k8s::io::metrics::pkg::apis::metrics;
#[cfg(feature = "rpc")]
pub use generated::{authpb, etcdserverpb, keelson, leasepb, mvccpb, v3electionpb, v3lockpb};
pub use kind::{HasMeta, Kind, Object};
pub use reflect::Reflect;

/// Descriptors of every file below `proto/`, custom options included: for reflection and schema tables.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
