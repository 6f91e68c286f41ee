//! Evicts one pod by the API's eviction subresource, as whoever empties a node does. `keelctl drain` would take all of them.

use anyhow::{Context, Result};
use client::{Client, Config};
use proto::core::v1::Pod;
use proto::policy::v1::Eviction;
use testkit::namespace;

use crate::World;

/// Evicts the pod; an error where the server refuses.
pub fn evict(world: &World, namespace: &str, pod: &str) -> Result<()> {
    let kubeconfig = world.keelctl().kubeconfig;
    namespace::inside(world.network(), || {
        // The thread is in the cluster's network, so all of it happens on this one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = Client::new(Config::from_kubeconfig(&kubeconfig)?)?;
            let mut eviction = Eviction::default();
            eviction.metadata.name = pod.to_owned();
            eviction.metadata.namespace = namespace.to_owned();
            let answer = client.api::<Pod>().create_subresource(namespace, pod, "eviction", &eviction).await;
            answer.map(drop).with_context(|| format!("evicting {namespace}/{pod}"))
        })
    })
}
