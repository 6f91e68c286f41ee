//! An etcd v3 server: Raft by openraft, MVCC and log of our own.
