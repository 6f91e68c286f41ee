//! Which controllers there are, and which object's change wakes which.

use std::sync::Arc;

use client::informer::{Change, Informer, Key, Store};
use client::{Client, ListParams};
use proto::Object;
use proto::core::v1::{Pod, Service};
use tokio::task::JoinSet;

use super::Controller;
use crate::controllers::{
    deployment, endpoints, endpointslice, node_ipam, replicaset, root_ca, service_account,
};
use crate::execute::Executor;
use crate::flags::Flags;
use crate::view::View;

/// Every controller's name, for --controllers.
pub const NAMES: [&str; 7] = [
    deployment::NAME,
    replicaset::NAME,
    endpointslice::NAME,
    endpoints::NAME,
    service_account::NAME,
    root_ca::CONTROLLER,
    node_ipam::NAME,
];

/// The controllers that run.
pub fn controllers(flags: &Flags) -> Arc<Vec<Arc<Controller>>> {
    let all = [
        (deployment::NAME, deployment::plan as fn(&_, &_, _) -> _, flags.concurrent_deployment_syncs),
        (replicaset::NAME, replicaset::plan, flags.concurrent_replicaset_syncs),
        (endpointslice::NAME, endpointslice::plan, flags.concurrent_service_endpoint_syncs),
        (endpoints::NAME, endpoints::plan, flags.concurrent_endpoint_syncs),
        (service_account::NAME, service_account::plan, 2),
        (root_ca::CONTROLLER, root_ca::plan, 2),
        (node_ipam::NAME, node_ipam::plan, 1),
    ];
    let chosen = all.into_iter().filter(|(name, _, _)| flags.runs(name));
    let made = chosen.map(|(name, plan, workers)| {
        Arc::new(Controller { name, plan, workers: workers.max(1), queue: Default::default() })
    });
    Arc::new(made.collect())
}

/// Queues by controller name; keys for a controller that does not run go nowhere.
#[derive(Clone)]
struct Wake {
    controllers: Arc<Vec<Arc<Controller>>>,
    view: Arc<View>,
}

impl Wake {
    fn add(&self, controller: &str, key: Key) {
        if let Some(found) = self.controllers.iter().find(|found| found.name == controller) {
            found.queue.add(key);
        }
    }

    fn add_all(&self, controller: &str, keys: Vec<Key>) {
        for key in keys {
            self.add(controller, key);
        }
    }

    fn pod(&self, change: &Change<Pod>) {
        for pod in both(change) {
            self.add_all(replicaset::NAME, replicaset::concerned(&self.view, pod));
            for service in endpointslice::concerned(&self.view, pod) {
                self.add(endpointslice::NAME, service.clone());
                self.add(endpoints::NAME, service);
            }
        }
        if change.new.is_none() {
            self.pod_gone(change);
        }
    }

    /// A Deployment that recreates waits for its old pods to be gone.
    fn pod_gone(&self, change: &Change<Pod>) {
        let Some(pod) = &change.old else { return };
        let Some(owner) = api::meta::controller_of(&pod.metadata) else { return };
        if let Some(set) = self.view.replica_sets.get(&pod.metadata.namespace, &owner.name) {
            self.add_all(deployment::NAME, deployment::concerned(&self.view, &set));
        }
    }

    fn service(&self, change: &Change<Service>) {
        self.add(endpointslice::NAME, change.key.clone());
        self.add(endpoints::NAME, change.key.clone());
    }
}

/// The object before and after.
fn both<T>(change: &Change<T>) -> impl Iterator<Item = &Arc<T>> {
    change.old.iter().chain(&change.new)
}

/// Starts an informer for every store of the view.
pub fn informers(
    client: &Client,
    view: &Arc<View>,
    controllers: &Arc<Vec<Arc<Controller>>>,
    tasks: &mut JoinSet<()>,
) {
    let wake = Wake { controllers: controllers.clone(), view: view.clone() };
    let everything = ListParams::default;
    let w = wake.clone();
    follow(client, &view.deployments, everything(), tasks, move |change| w.add(deployment::NAME, change.key.clone()));
    let w = wake.clone();
    follow(client, &view.replica_sets, everything(), tasks, move |change| {
        w.add(replicaset::NAME, change.key.clone());
        for set in both(change) {
            w.add_all(deployment::NAME, deployment::concerned(&w.view, set));
        }
    });
    let w = wake.clone();
    follow(client, &view.pods, everything(), tasks, move |change| w.pod(change));
    let w = wake.clone();
    follow(client, &view.services, everything(), tasks, move |change| w.service(change));
    let w = wake.clone();
    follow(client, &view.endpoints, everything(), tasks, move |change| w.add(endpoints::NAME, change.key.clone()));
    let w = wake.clone();
    follow(client, &view.slices, everything(), tasks, move |change| {
        for slice in both(change) {
            w.add_all(endpointslice::NAME, endpointslice::service_of(slice).into_iter().collect());
        }
    });
    let w = wake.clone();
    follow(client, &view.nodes, everything(), tasks, move |change| w.add(node_ipam::NAME, change.key.clone()));
    let w = wake.clone();
    follow(client, &view.namespaces, everything(), tasks, move |change| {
        w.add(service_account::NAME, change.key.clone());
        w.add(root_ca::CONTROLLER, change.key.clone());
    });
    let w = wake.clone();
    follow(client, &view.service_accounts, everything(), tasks, move |change| {
        w.add(service_account::NAME, Key::new("", &change.key.namespace));
    });
    let w = wake;
    let maps = everything().fields(format!("metadata.name={}", root_ca::NAME));
    follow(client, &view.root_cas, maps, tasks, move |change| {
        w.add(root_ca::CONTROLLER, Key::new("", &change.key.namespace));
    });
}

fn follow<T: Object>(
    client: &Client,
    store: &Store<T>,
    which: ListParams,
    tasks: &mut JoinSet<()>,
    on_change: impl Fn(&Change<T>) + Send + Sync + 'static,
) {
    let mut informer = Informer::into_store(client.api(), which, store.clone());
    informer.on_change(on_change);
    tasks.spawn(informer.run());
}

/// Returns once every store is complete.
pub async fn wait_synced(view: &View) {
    view.deployments.wait_synced().await;
    view.replica_sets.wait_synced().await;
    view.pods.wait_synced().await;
    view.services.wait_synced().await;
    view.endpoints.wait_synced().await;
    view.slices.wait_synced().await;
    view.nodes.wait_synced().await;
    view.namespaces.wait_synced().await;
    view.service_accounts.wait_synced().await;
    view.root_cas.wait_synced().await;
}

/// Starts the controllers that are tasks of their own.
pub fn tasks(_flags: &Flags, _client: &Client, _view: &Arc<View>, _executor: &Executor, _tasks: &mut JoinSet<()>) {}
