//! The Kubernetes API: verbs, admission, watch cache, on an etcd v3 store.
