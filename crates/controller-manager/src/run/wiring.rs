//! Which controllers there are, and which object's change wakes which.

use std::sync::Arc;

use client::informer::{Change, Informer, Key, Store};
use client::recorder::Recorder;
use client::{Client, ListParams};
use proto::Object;
use proto::core::v1::{Pod, Service};
use tokio::task::JoinSet;

use super::Controller;
use crate::controllers::{
    deployment, endpoints, endpointslice, garbage, namespace, node_ipam, node_lifecycle, pod_gc, replicaset, root_ca,
    service_account, taint_eviction, volume_protection,
};
use crate::flags::Flags;
use crate::view::View;
use crate::write::Plan;

/// Every controller's name, for --controllers.
pub const NAMES: [&str; 14] = [
    deployment::NAME,
    replicaset::NAME,
    endpointslice::NAME,
    endpoints::NAME,
    service_account::NAME,
    root_ca::CONTROLLER,
    node_ipam::NAME,
    node_lifecycle::NAME,
    taint_eviction::NAME,
    pod_gc::NAME,
    volume_protection::CLAIMS,
    volume_protection::VOLUMES,
    namespace::NAME,
    garbage::NAME,
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
        (node_lifecycle::NAME, node_lifecycle::plan, 1),
        (taint_eviction::NAME, taint_eviction::plan, 8),
        (pod_gc::NAME, pod_gc::plan, 1),
        (volume_protection::CLAIMS, volume_protection::plan_claim, 1),
        (volume_protection::VOLUMES, volume_protection::plan_volume, 1),
        (namespace::NAME, |_, _, _| Plan::none(), 0),
    ];
    let chosen = all.into_iter().filter(|(name, _, _)| flags.runs(name));
    let made =
        chosen.map(|(name, plan, workers)| Arc::new(Controller { name, plan, workers, queue: Default::default() }));
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
        self.add(taint_eviction::NAME, change.key.clone());
        for pod in both(change) {
            self.add_all(volume_protection::CLAIMS, volume_protection::concerned(pod));
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
pub fn informers(client: &Client, view: &Arc<View>, controllers: &Arc<Vec<Arc<Controller>>>, tasks: &mut JoinSet<()>) {
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
    follow(client, &view.nodes, everything(), tasks, move |change| {
        w.add(node_ipam::NAME, change.key.clone());
        w.add(node_lifecycle::NAME, change.key.clone());
        for node in both(change) {
            w.add_all(taint_eviction::NAME, taint_eviction::concerned(&w.view, node));
        }
    });
    let leases = ListParams::in_namespace(node_lifecycle::LEASE_NAMESPACE);
    let w = wake.clone();
    follow(client, &view.leases, leases, tasks, move |change| {
        w.add(node_lifecycle::NAME, Key::new("", &change.key.name));
    });
    let w = wake.clone();
    follow(client, &view.claims, everything(), tasks, move |change| {
        w.add(volume_protection::CLAIMS, change.key.clone());
    });
    let w = wake.clone();
    follow(client, &view.volumes, everything(), tasks, move |change| {
        w.add(volume_protection::VOLUMES, change.key.clone());
    });
    let w = wake.clone();
    follow(client, &view.namespaces, everything(), tasks, move |change| {
        w.add(service_account::NAME, change.key.clone());
        w.add(root_ca::CONTROLLER, change.key.clone());
        if change.new.as_ref().is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
            w.add(namespace::NAME, change.key.clone());
        }
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
    view.leases.wait_synced().await;
    view.claims.wait_synced().await;
    view.volumes.wait_synced().await;
}

/// Starts the controllers that are tasks of their own, and what needs a first push.
pub fn tasks(
    flags: &Flags,
    client: &Client,
    recorder: &Recorder,
    view: &Arc<View>,
    controllers: &[Arc<Controller>],
    tasks: &mut JoinSet<()>,
) {
    for controller in controllers {
        if controller.name == namespace::NAME {
            let emptier = namespace::Emptier::new(client.clone(), view.clone(), controller.queue.clone());
            for _ in 0..flags.concurrent_namespace_syncs.max(1) {
                tasks.spawn(emptier.clone().run());
            }
        }
        if let (root_ca::CONTROLLER, Some(path)) = (controller.name, &flags.root_ca_file) {
            let reader = root_ca::Reader { path: path.clone(), view: view.clone(), queue: controller.queue.clone() };
            tasks.spawn(reader.run());
        }
        if controller.name == pod_gc::NAME {
            controller.queue.add(Key::default());
        }
    }
    if flags.runs(garbage::NAME) {
        let collector = garbage::Collector::new(client.clone(), recorder);
        tasks.spawn(collector.clone().run());
        for _ in 0..flags.concurrent_gc_syncs.max(1) {
            tasks.spawn(collector.clone().work());
        }
    }
}
