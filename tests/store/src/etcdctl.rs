//! etcdctl on the store and on a real etcd of its own release: the same commands, the same output.
//!
//! [`script`] reads commands from a file, [`play`] runs them on both, [`normal`] takes out what differs between any two
//! servers (ids, addresses, times, sizes, versions).

pub mod normal;
pub mod play;
pub mod script;
