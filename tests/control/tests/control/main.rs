//! Scheduler and controller-manager at work on a real apiserver and etcd (Debian's etcd-server).

#![allow(clippy::unwrap_used)] // helpers of tests

mod election;
mod endpoints;
mod explain;
mod garbage;
mod namespaces;
mod nodes;
mod objects;
mod workloads;
