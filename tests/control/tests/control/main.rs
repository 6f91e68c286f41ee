//! Scheduler and controller-manager at work on a real apiserver and etcd (Debian's etcd-server).

mod election;
mod endpoints;
mod explain;
mod garbage;
mod namespaces;
mod objects;
mod workloads;
