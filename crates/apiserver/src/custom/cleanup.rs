//! A definition that is being deleted: its objects go first, then what holds it.

use std::sync::Arc;
use std::time::Duration;

use api::definition::{CLEANUP_FINALIZER, conditions, is_namespaced, row, storage_version};
use proto::apiextensions::v1::{CustomResourceDefinition, CustomResourceDefinitionCondition as Condition};
use tokio_util::sync::CancellationToken;

use super::follow::{GROUP, PLURAL, status};
use super::{Version, schemas};
use crate::authenticate::User;
use crate::authorize::MASTERS;
use crate::registry::Resource;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::storage::Record;
use crate::verbs::Target;
use crate::verbs::delete::delete_unasked;
use crate::verbs::options::DeleteOptions;

/// How long objects with finalizers of their own are waited for before they are looked at again.
const WAIT: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Empties one definition.
pub struct Cleanup {
    server: Arc<Server>,
    name: String,
    uid: String,
    /// The version of storage; none: the definition has no objects of its own.
    resource: Option<Arc<Resource>>,
    namespaced: bool,
    stop: CancellationToken,
}

impl Cleanup {
    /// Of a definition; nothing is done yet.
    pub fn new(server: Arc<Server>, definition: &CustomResourceDefinition, stop: CancellationToken) -> Self {
        // A row of its own: the version of storage need not be served.
        let (group, plural) = (&definition.spec.group, &definition.spec.names.plural);
        let own = !server.registry.is_built_in_resource(group, plural);
        let resource = storage_version(definition).filter(|_| own).map(|version| {
            let made = Version::of(definition, version, &schemas(definition));
            Arc::new(Resource::of_custom(row::of(definition, version), Arc::new(made), Arc::default()))
        });
        let meta = &definition.metadata;
        let (name, uid) = (meta.name.clone(), meta.uid.clone());
        Self { server, name, uid, resource, namespaced: is_namespaced(definition), stop }
    }

    /// Runs until nothing is left, or it is stopped.
    pub async fn run(self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.until_empty() => {}
        }
    }

    async fn until_empty(&self) {
        let mut wait = WAIT;
        loop {
            match self.empty().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(failure) => {
                    let definition = &self.name;
                    tracing::warn!(definition, %failure, "the objects of a deleted definition cannot be removed yet");
                    let message = format!("could not remove all objects: {failure}");
                    let told = conditions::condition(conditions::TERMINATING, true, "InstanceDeletionFailed", message);
                    // Told if it can be; the failure is met again otherwise.
                    _ = self.tell(told, false).await;
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Deletes what is there. True: nothing is left, and nothing of ours holds the definition any more.
    async fn empty(&self) -> Result<bool> {
        let message = "CustomResource deletion is in progress";
        self.tell(conditions::condition(conditions::TERMINATING, true, "InstanceDeletionInProgress", message), false)
            .await?;
        if let Some(resource) = &self.resource {
            let mut keys = Vec::new();
            let take = |records: Vec<Record>| keys.extend(records.into_iter().map(|record| record.key));
            self.server.store.scan(&resource.prefix, 0, take).await?;
            for key in keys {
                self.remove(resource, &String::from_utf8_lossy(&key)).await?;
            }
            let left = self.server.store.page(&resource.prefix, &resource.prefix, 1, 0).await?;
            if !left.records.is_empty() {
                return Ok(false);
            }
        }
        let message = "removed all instances";
        self.tell(conditions::condition(conditions::TERMINATING, false, "InstanceDeletionCompleted", message), true)
            .await?;
        Ok(true)
    }

    async fn remove(&self, resource: &Arc<Resource>, key: &str) -> Result<()> {
        let place = key.strip_prefix(&resource.prefix).unwrap_or(key);
        let (namespace, name) =
            if self.namespaced { place.split_once('/').unwrap_or(("", place)) } else { ("", place) };
        let target = Target {
            resource: Arc::clone(resource),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
        };
        let user = User { name: "system:apiserver".to_owned(), groups: vec![MASTERS.to_owned()], ..User::default() };
        match delete_unasked(&self.server, &user, &target, &DeleteOptions::default()).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Says how far it is; at the end, lets the definition go.
    async fn tell(&self, condition: Condition, is_done: bool) -> Result<()> {
        let resource = self.server.registry.find(GROUP, "v1", PLURAL).map_err(|_| Failure::no_resource())?;
        let now = self.server.now();
        let decide = |definition: &mut CustomResourceDefinition| {
            if definition.metadata.uid != self.uid || definition.metadata.deletion_timestamp.is_none() {
                return false;
            }
            conditions::set(definition, condition.clone(), now);
            if is_done {
                definition.metadata.finalizers.retain(|finalizer| finalizer != CLEANUP_FINALIZER);
            }
            true
        };
        status::edit(&self.server, resource, &self.name, decide).await
    }
}
