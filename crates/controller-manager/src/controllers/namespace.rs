//! Namespaces being deleted: their content goes, pods first, then they.
//!
//! This controller asks the server what exists, so it acts itself; what to say of the state is decided in
//! [`conditions`].

mod conditions;

use std::sync::Arc;
use std::time::Duration;

use client::informer::Key;
use client::params::{DeleteParams, ListParams, WriteParams};
use client::queue::WorkQueue;
use client::{Client, DynApi, Error};
use proto::core::v1::Namespace;
use proto::keelson::api::v1::ApiResource;

use crate::view::View;
use conditions::Remains;

/// Upstream's name of this controller.
pub const NAME: &str = "namespace-controller";
/// The finalizer that this controller is.
const FINALIZER: &str = "kubernetes";
/// Pause between looks while content remains.
const PAUSE: Duration = Duration::from_secs(2);

/// Deletes what namespaces hold.
#[derive(Clone)]
pub struct Emptier {
    client: Client,
    view: Arc<View>,
    queue: WorkQueue<Key>,
}

impl Emptier {
    /// Works on the queue's keys: names of namespaces.
    pub fn new(client: Client, view: Arc<View>, queue: WorkQueue<Key>) -> Self {
        Self { client, view, queue }
    }

    /// One worker.
    pub async fn run(self) {
        while let Some(key) = self.queue.next().await {
            match self.empty(&key.name).await {
                Ok(true) => self.queue.forget(&key),
                Ok(false) => self.queue.add_after((*key).clone(), PAUSE),
                Err(error) => {
                    if !error.is_conflict() {
                        tracing::warn!(namespace = key.name, "cannot empty the namespace: {error}");
                    }
                    self.queue.retry((*key).clone());
                }
            }
        }
    }

    /// One look. True: nothing more to do.
    async fn empty(&self, name: &str) -> Result<bool, Error> {
        let known = self.view.namespaces.get("", name);
        if known.is_none_or(|known| known.metadata.deletion_timestamp.is_none()) {
            return Ok(true);
        }
        let api = self.client.api::<Namespace>();
        let Some(namespace) = api.get_opt("", name).await? else { return Ok(true) };
        if namespace.metadata.deletion_timestamp.is_none()
            || !namespace.spec.finalizers.iter().any(|own| own == FINALIZER)
        {
            return Ok(true);
        }
        let remains = self.delete_content(name).await?;
        let updated = conditions::update(&namespace, &remains, crate::run::now());
        let namespace = if updated == namespace { namespace } else { api.update_status(&updated).await? };
        if !remains.is_empty() {
            return Ok(false);
        }
        let mut done = namespace;
        done.spec.finalizers.retain(|own| own != FINALIZER);
        api.update_with(&done, "finalize", &WriteParams::default()).await?;
        Ok(true)
    }

    /// Pods first: what serves or guards them stays until they are gone.
    async fn delete_content(&self, namespace: &str) -> Result<Remains, Error> {
        let resources = self.client.api_resources().await?;
        let (pods, others): (Vec<_>, Vec<_>) = resources
            .into_iter()
            .filter(|resource| resource.namespaced && has_verb(resource, "delete") && has_verb(resource, "list"))
            .partition(|resource| resource.group.is_empty() && resource.plural == "pods");
        let mut remains = Remains::default();
        for resource in &pods {
            self.delete_all(namespace, resource, &mut remains).await?;
        }
        if !remains.is_empty() {
            remains.pods_first = true;
            return Ok(remains);
        }
        for resource in &others {
            self.delete_all(namespace, resource, &mut remains).await?;
        }
        Ok(remains)
    }

    async fn delete_all(&self, namespace: &str, resource: &ApiResource, remains: &mut Remains) -> Result<(), Error> {
        let api = self.client.dynamic(&resource.group, &resource.version, &resource.plural);
        let here = ListParams::in_namespace(namespace);
        let listed = match api.list(&here).await {
            Ok(listed) => listed,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        if listed.items.is_empty() {
            return Ok(());
        }
        if has_verb(resource, "deletecollection") {
            api.delete_collection(&here, &background()).await?;
        } else {
            delete_each(&api, namespace, &listed.items).await?;
        }
        for left in api.list(&here).await?.items {
            let meta = left.metadata()?;
            remains.add(resource, &meta.finalizers);
        }
        Ok(())
    }
}

async fn delete_each(api: &DynApi, namespace: &str, items: &[client::DynObject]) -> Result<(), Error> {
    for item in items {
        let meta = item.metadata()?;
        match api.delete(namespace, &meta.name, &background()).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn background() -> DeleteParams {
    DeleteParams { propagation: "Background".to_owned(), ..DeleteParams::default() }
}

fn has_verb(resource: &ApiResource, verb: &str) -> bool {
    resource.verbs.iter().any(|known| known == verb)
}
