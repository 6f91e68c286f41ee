//! The apiserver in process, over TLS, on real stores: Debian's etcd 3.4 and keelson-store.
//!
//! Every law is checked on each store. A store that is not there fails the test with what to install or build.

mod harness;
mod races;
mod verbs;
mod watches;
mod services;
mod access;

/// One test of each store.
macro_rules! on_each_store {
    ($($name:ident)*) => {
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::harness::Engine::Etcd).await; })*
        }
        mod keelson {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::harness::Engine::Keelson).await; })*
        }
    };
}
pub(crate) use on_each_store;
