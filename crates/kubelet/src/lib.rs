//! Runs pods on containerd: plan, then act.
//!
//! The way of a pod: [`pod_source`] hears of it, [`manager`] gives it a [`worker`], which asks the pure [`plan`] what to
//! do, does it through [`start`], [`stop`], [`sandbox`] and [`volume`], and has [`status_writer`] tell the API. Only
//! [`runtime`] talks to containerd.

pub mod admission;
pub mod api_cluster;
pub mod cluster;
pub mod config;
pub mod confine;
pub mod devices;
pub mod dns;
pub mod env;
pub mod eviction;
pub mod exec;
pub mod identity;
pub mod images;
pub mod logs;
pub mod manager;
pub mod network;
pub mod node;
pub mod node_context;
pub mod object_source;
pub mod observed;
pub mod paths;
pub mod plan;
pub mod pod;
pub mod pod_source;
pub mod probe;
pub mod record;
pub mod resize;
pub mod resources;
pub mod run;
pub mod run_dir;
pub mod runtime;
pub mod sandbox;
pub mod serve;
pub mod signal;
pub mod start;
pub mod status;
pub mod status_writer;
pub mod stop;
pub mod time;
pub mod usage;
pub mod volume;
pub mod worker;
