//! Garbage collection: objects whose owners are gone go too.
//!
//! [`Collector`] follows the metadata of every resource that can be listed, watched and deleted into a [`graph`]; what
//! to do about one object is decided by [`decide`]. The graph may lag behind the server, so before anything is deleted
//! the object is read again, owners that seem gone are asked for by name, and the deletion is tied to uid and version.
//!
//! **Invariant:** nothing is done before the first list of every followed resource is in the graph. An owner whose
//! dependents are not known yet looks as if it had none: it would be let go, and its dependents be deleted after it.

mod decide;
mod follow;
mod graph;
mod lists;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::params::{DeleteParams, Patch, WriteParams};
use client::queue::WorkQueue;
use client::recorder::Recorder;
use client::{Client, DynApi, Error};
use proto::core::v1::ObjectReference;
use proto::keelson::api::v1::ApiResource;
use proto::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;
use tokio::task::JoinSet;

use decide::{Action, OwnerState};
use graph::{Graph, Node};
use lists::Lists;

/// Upstream's name of this controller.
pub const NAME: &str = "garbage-collector-controller";
/// The finalizer of an object that goes after its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object that leaves its dependents behind.
pub const ORPHAN: &str = "orphan";
/// Pause between looks at what the server serves.
const DISCOVERY_PERIOD: Duration = Duration::from_secs(30);

/// Group, version, plural.
type Gvr = (String, String, String);
/// Resource, and whether it is namespaced, by apiVersion and kind.
type Kinds = HashMap<(String, String), (Gvr, bool)>;

/// Follows everything and deletes what nobody owns any more.
#[derive(Clone)]
pub struct Collector {
    client: Client,
    graph: Arc<Mutex<Graph>>,
    /// Uids to look at.
    queue: WorkQueue<String>,
    kinds: Arc<Mutex<Kinds>>,
    /// Objects with an owner of a kind that was not served when they were looked at.
    puzzling: Arc<Mutex<HashSet<String>>>,
    /// Whether the graph is complete.
    lists: Lists,
    recorder: Recorder,
}

impl Collector {
    /// Nothing is followed yet.
    pub fn new(client: Client, recorder: &Recorder) -> Self {
        Self {
            client,
            graph: Arc::default(),
            queue: WorkQueue::new(),
            kinds: Arc::default(),
            puzzling: Arc::default(),
            lists: Lists::default(),
            recorder: recorder.speaking_as(NAME),
        }
    }

    /// Follows what the server serves, and what it comes to serve.
    pub async fn run(self) {
        let mut followed: HashMap<Gvr, tokio::task::AbortHandle> = HashMap::new();
        let mut tasks = JoinSet::new();
        loop {
            match self.client.api_resources().await {
                Ok(resources) => self.follow_all(&resources, &mut followed, &mut tasks),
                Err(error) => tracing::warn!("garbage collection does not know what is served: {error}"),
            }
            let mut pause = std::pin::pin!(tokio::time::sleep(DISCOVERY_PERIOD));
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(ended) = tasks.join_next() => {
                        // One that is followed no more was aborted. A panic is passed on: a resource that nobody
                        // follows would stand still in the graph, and objects be judged by it.
                        if let Err(error) = ended && error.is_panic() {
                            std::panic::resume_unwind(error.into_panic());
                        }
                    }
                }
            }
        }
    }

    fn follow_all(
        &self,
        resources: &[ApiResource],
        followed: &mut HashMap<Gvr, tokio::task::AbortHandle>,
        tasks: &mut JoinSet<()>,
    ) {
        let wanted = follow::collectable(resources);
        self.lists.expect(wanted.iter().map(|resource| gvr(resource)).collect());
        {
            let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            let before: HashSet<(String, String)> = kinds.drain().map(|(kind, _)| kind).collect();
            for resource in resources {
                let version = api_version(&resource.group, &resource.version);
                kinds.insert((version, resource.kind.clone()), (gvr(resource), resource.namespaced));
            }
            if kinds.keys().any(|kind| !before.contains(kind)) {
                let mut puzzling = self.puzzling.lock().unwrap_or_else(PoisonError::into_inner);
                puzzling.drain().for_each(|uid| self.queue.add(uid));
            }
        }
        followed.retain(|gvr, task| {
            let served = wanted.iter().any(|resource| self::gvr(resource) == *gvr);
            if !served {
                task.abort();
            }
            served
        });
        for resource in wanted {
            let gvr = gvr(resource);
            followed.entry(gvr.clone()).or_insert_with(|| tasks.spawn(follow::run(self.clone(), gvr)));
        }
    }

    /// One worker.
    pub async fn work(self) {
        while let Some(uid) = self.queue.next().await {
            self.lists.complete().await;
            match self.look(&uid).await {
                Ok(()) => self.queue.forget(&uid),
                Err(error) => {
                    if error.is_conflict() || error.is_unavailable() {
                        tracing::debug!(uid = *uid, "collecting later: {error}");
                    } else {
                        tracing::warn!(uid = *uid, "cannot collect: {error}");
                    }
                    self.queue.retry((*uid).clone());
                }
            }
        }
    }

    /// Does what is to be done about one object.
    async fn look(&self, uid: &str) -> Result<(), Error> {
        let Some(node) = self.with_graph(|graph| graph.get(uid)) else { return Ok(()) };
        let api = self.api(&node.gvr);
        let live = match api.get(&node.namespace, &node.name, "").await {
            Ok(live) => live,
            Err(error) if error.is_not_found() => {
                // The watch will bring it; its dependents need not wait.
                self.removed(uid);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut meta = live.metadata()?;
        meta.resource_version = live.resource_version.to_string();
        if meta.uid != uid {
            self.removed(uid);
            return Ok(());
        }
        if meta.deletion_timestamp.is_some() {
            return self.going(&api, &node, &meta).await;
        }
        let mut owners = Vec::new();
        for owner in &meta.owner_references {
            owners.push((owner, self.state_of(owner, &node).await?));
        }
        let states: Vec<OwnerState> = owners.iter().map(|(_, state)| *state).collect();
        let has_dependents = self.with_graph(|graph| graph.has_dependents(uid));
        match decide::action(&meta, &states, has_dependents) {
            Action::Nothing => Ok(()),
            Action::Disown => {
                let solid = owners.iter().filter(|(_, state)| *state == OwnerState::Solid);
                let left: Vec<&OwnerReference> = solid.map(|(owner, _)| *owner).collect();
                self.set_owners(&api, &meta, &left).await
            }
            Action::Delete(policy) => self.delete(&api, &meta, policy).await,
        }
    }

    /// An object that is being deleted and waits for this collector.
    async fn going(&self, api: &DynApi, node: &Node, meta: &ObjectMeta) -> Result<(), Error> {
        let has = |finalizer: &str| meta.finalizers.iter().any(|known| known == finalizer);
        if has(ORPHAN) {
            for dependent in self.with_graph(|graph| graph.dependents(&node.uid)) {
                self.orphan(&dependent, &node.uid).await?;
            }
            return self.drop_finalizer(api, meta, ORPHAN).await;
        }
        if has(FOREGROUND) {
            let (blocking, others) = self.with_graph(|graph| graph.dependents_by_blocking(&node.uid));
            if blocking.is_empty() {
                return self.drop_finalizer(api, meta, FOREGROUND).await;
            }
            for dependent in blocking.into_iter().chain(others) {
                self.queue.add(dependent);
            }
        }
        Ok(())
    }

    /// What has become of an owner.
    async fn state_of(&self, owner: &OwnerReference, of: &Node) -> Result<OwnerState, Error> {
        if let Some(known) = self.with_graph(|graph| graph.get(&owner.uid)) {
            return Ok(if known.waits_for_dependents() { OwnerState::Waiting } else { OwnerState::Solid });
        }
        let kinds = || self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kinds().get(&(owner.api_version.clone(), owner.kind.clone())).cloned();
        let Some((gvr, namespaced)) = known else {
            // A kind that is not served (yet, or any more): nothing can be said, so nothing is deleted.
            self.puzzling.lock().unwrap_or_else(PoisonError::into_inner).insert(of.uid.clone());
            return Ok(OwnerState::Solid);
        };
        if namespaced && of.namespace.is_empty() {
            // In which namespace the owner would be cannot be said; upstream leaves such objects alone, too.
            self.tell_of_impossible_owner(owner, of);
            return Ok(OwnerState::Solid);
        }
        let namespace = if namespaced { of.namespace.as_str() } else { "" };
        match self.api(&gvr).get(namespace, &owner.name, "").await {
            Ok(found) => {
                let meta = found.metadata()?;
                if meta.uid != owner.uid {
                    return Ok(OwnerState::Gone);
                }
                let waits =
                    meta.deletion_timestamp.is_some() && meta.finalizers.iter().any(|known| known == FOREGROUND);
                Ok(if waits { OwnerState::Waiting } else { OwnerState::Solid })
            }
            Err(error) if error.is_not_found() => Ok(OwnerState::Gone),
            Err(error) => Err(error),
        }
    }

    fn tell_of_impossible_owner(&self, owner: &OwnerReference, of: &Node) {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kinds.iter().find(|(_, (gvr, _))| *gvr == of.gvr);
        let Some(((api_version, kind), _)) = found else { return };
        let involved = ObjectReference {
            api_version: api_version.clone(),
            kind: kind.clone(),
            name: of.name.clone(),
            uid: of.uid.clone(),
            ..ObjectReference::default()
        };
        let message = format!(
            "the owner {} {:?} is of a namespaced kind and cannot own an object of the cluster; remove the ownerReference",
            owner.kind, owner.name
        );
        self.recorder.note(involved, "Warning", "OwnerRefInvalidNamespace", message);
    }

    async fn delete(&self, api: &DynApi, meta: &ObjectMeta, policy: &str) -> Result<(), Error> {
        let params = DeleteParams {
            propagation: policy.to_owned(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            ..DeleteParams::default()
        };
        match api.delete(&meta.namespace, &meta.name, &params).await {
            Ok(_) => {
                tracing::debug!(
                    resource = api.resource().plural,
                    namespace = meta.namespace,
                    name = meta.name,
                    policy,
                    "collected"
                );
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn orphan(&self, uid: &str, owner: &str) -> Result<(), Error> {
        let Some(node) = self.with_graph(|graph| graph.get(uid)) else { return Ok(()) };
        let api = self.api(&node.gvr);
        let live = match api.get(&node.namespace, &node.name, "").await {
            Ok(live) => live,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut meta = live.metadata()?;
        meta.resource_version = live.resource_version.to_string();
        let left: Vec<&OwnerReference> = meta.owner_references.iter().filter(|known| known.uid != owner).collect();
        if meta.uid != uid || left.len() == meta.owner_references.len() {
            return Ok(());
        }
        self.set_owners(&api, &meta, &left).await
    }

    async fn set_owners(&self, api: &DynApi, meta: &ObjectMeta, owners: &[&OwnerReference]) -> Result<(), Error> {
        let owners: Vec<_> = owners.iter().map(|owner| proto::json::to_value(*owner)).collect();
        self.patch(api, meta, json!({ "ownerReferences": owners })).await
    }

    async fn drop_finalizer(&self, api: &DynApi, meta: &ObjectMeta, finalizer: &str) -> Result<(), Error> {
        let left: Vec<&String> = meta.finalizers.iter().filter(|known| *known != finalizer).collect();
        self.patch(api, meta, json!({ "finalizers": left })).await
    }

    /// Changes metadata of exactly this object at exactly this version.
    async fn patch(&self, api: &DynApi, meta: &ObjectMeta, mut change: serde_json::Value) -> Result<(), Error> {
        change["uid"] = json!(meta.uid);
        change["resourceVersion"] = json!(meta.resource_version);
        let patch = Patch::merge(&json!({ "metadata": change }));
        match api.patch(&meta.namespace, &meta.name, "", patch, &WriteParams::default()).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// The graph hears of an object; whoever must be looked at is queued.
    fn heard(&self, node: Node) {
        let looks = self.with_graph(|graph| graph.put(node));
        looks.into_iter().for_each(|uid| self.queue.add(uid));
    }

    /// The graph hears that an object is gone.
    fn removed(&self, uid: &str) {
        let looks = self.with_graph(|graph| graph.remove(uid));
        looks.into_iter().for_each(|uid| self.queue.add(uid));
    }

    fn with_graph<R>(&self, f: impl FnOnce(&mut Graph) -> R) -> R {
        f(&mut self.graph.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn api(&self, (group, version, plural): &Gvr) -> DynApi {
        self.client.dynamic(group, version, plural)
    }
}

fn gvr(resource: &ApiResource) -> Gvr {
    (resource.group.clone(), resource.version.clone(), resource.plural.clone())
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}
