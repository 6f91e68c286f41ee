//! What the controllers see: one store per kind, and the settings.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use api::meta::controller_of;
use client::informer::Store;
use proto::apps::v1::{Deployment, ReplicaSet};
use proto::coordination::v1::Lease;
use proto::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service, ServiceAccount,
};
use proto::discovery::v1::EndpointSlice;
use proto::dynamic::DynObject;

use crate::controllers::node_lifecycle::{EvictionRate, Heartbeats};
use crate::controllers::pod_gc::AbsentNodes;
use crate::controllers::taint_eviction::Sightings;
use crate::flags::Settings;

/// Index of pods and replica sets: the uid of their controller.
pub const BY_OWNER: &str = "owner";
/// Index of pods: their node.
pub const BY_NODE: &str = "node";
/// Index of endpoint slices: namespace/service.
pub const BY_SERVICE: &str = "service";

/// Everything that plans look at.
pub struct View {
    /// From flags.
    pub settings: Settings,
    /// The root CA as its file had it last; PEM; empty: none is published.
    root_ca: Mutex<String>,
    pub deployments: Store<Deployment>,
    pub replica_sets: Store<ReplicaSet>,
    pub pods: Store<Pod>,
    pub services: Store<Service>,
    pub endpoints: Store<Endpoints>,
    pub slices: Store<EndpointSlice>,
    pub nodes: Store<Node>,
    /// Of kube-node-lease.
    pub leases: Store<Lease>,
    pub namespaces: Store<Namespace>,
    pub service_accounts: Store<ServiceAccount>,
    /// Those named kube-root-ca.crt.
    pub root_cas: Store<ConfigMap>,
    pub volumes: Store<PersistentVolume>,
    pub claims: Store<PersistentVolumeClaim>,
    /// Why creating pods for an owner (by uid) failed last; gone once it succeeds.
    pub create_failures: Mutex<HashMap<String, String>>,
    /// When each node last showed life, by this process's clock.
    pub heartbeats: Heartbeats,
    /// How fast nodes were emptied.
    pub evictions: EvictionRate,
    /// Nodes that pods name and that do not exist.
    pub absent_nodes: AbsentNodes,
    /// Since when pods are together with taints that evict.
    pub sightings: Sightings,
}

impl View {
    /// Empty stores with their indexes.
    pub fn new(settings: Settings) -> Self {
        let view = Self {
            root_ca: Mutex::new(settings.root_ca.clone()),
            settings,
            deployments: Store::new(),
            replica_sets: Store::new(),
            pods: Store::new(),
            services: Store::new(),
            endpoints: Store::new(),
            slices: Store::new(),
            nodes: Store::new(),
            leases: Store::new(),
            namespaces: Store::new(),
            service_accounts: Store::new(),
            root_cas: Store::new(),
            volumes: Store::new(),
            claims: Store::new(),
            create_failures: Mutex::default(),
            heartbeats: Heartbeats::default(),
            evictions: EvictionRate::default(),
            absent_nodes: AbsentNodes::default(),
            sightings: Sightings::default(),
        };
        view.pods.add_index(BY_OWNER, |pod| owner_uid(&pod.metadata));
        view.pods.add_index(BY_NODE, |pod| {
            Some(pod.spec.node_name.clone()).filter(|node| !node.is_empty()).into_iter().collect()
        });
        view.replica_sets.add_index(BY_OWNER, |set| owner_uid(&set.metadata));
        view.slices.add_index(BY_SERVICE, |slice| {
            let service = slice.metadata.labels.get("kubernetes.io/service-name");
            service.map(|name| format!("{}/{name}", slice.metadata.namespace)).into_iter().collect()
        });
        view
    }

    /// Makes an own write visible to the next plan.
    pub fn observe(&self, object: &dyn DynObject) {
        macro_rules! observe {
            ($($store:ident),*) => {
                $(if let Some(object) = object.downcast_ref() {
                    return self.$store.observe(Clone::clone(object));
                })*
            };
        }
        observe!(deployments, replica_sets, pods, services, endpoints, slices, nodes, namespaces, service_accounts);
        observe!(volumes, claims);
        if let Some(object) = object.downcast_ref::<ConfigMap>()
            && object.metadata.name == crate::controllers::root_ca::NAME
        {
            self.root_cas.observe(object.clone());
        }
    }

    /// The CA certificates that pods trust; empty: none are published.
    pub fn root_ca(&self) -> String {
        self.root_ca.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file has changed.
    pub fn set_root_ca(&self, root_ca: String) {
        *self.root_ca.lock().unwrap_or_else(PoisonError::into_inner) = root_ca;
    }

    /// Why creating pods for this owner failed last.
    pub fn create_failure(&self, owner_uid: &str) -> Option<String> {
        self.create_failures.lock().unwrap_or_else(PoisonError::into_inner).get(owner_uid).cloned()
    }

    /// Creating pods for this owner failed, or works again.
    pub fn set_create_failure(&self, owner_uid: &str, failure: Option<String>) {
        let mut failures = self.create_failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(failure) => failures.insert(owner_uid.to_owned(), failure),
            None => failures.remove(owner_uid),
        };
    }
}

fn owner_uid(meta: &proto::meta::v1::ObjectMeta) -> Vec<String> {
    controller_of(meta).map(|owner| owner.uid.clone()).into_iter().collect()
}
