//! The store's edges: etcd's services for clients, `keelson.raft.v1` for members, HTTP for probes.

pub mod auth;
pub mod bounds;
pub mod cluster;
pub mod credentials;
pub mod direct;
pub mod election;
pub mod guard;
pub mod http;
pub mod kv;
pub mod leader;
pub mod learner;
pub mod lease;
pub mod lock;
pub mod maintenance;
pub mod raft;
pub mod routes;
pub mod watch;
