//! APIServices of the group versions that this server has, as upstream's autoregistration makes them at start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::apiregistration::v1::{ApiService, ApiServiceSpec};
use proto::dynamic::DynObject;
use tokio_util::sync::CancellationToken;

use super::priority;
use crate::authenticate::User;
use crate::authorize::MASTERS;
use crate::bootstrap;
use crate::custom::follow;
use crate::discovery::{Catalog, split};
use crate::registry::{Registry, Resource};
use crate::server::Server;
use crate::status::Result;
use crate::verbs::options::DeleteOptions;
use crate::verbs::write::{Decision, Mutation};
use crate::verbs::{Target, delete};
use crate::watch_cache::Filter;

/// Who takes care of an APIService.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// It is made, or mended, when an apiserver starts; later it is its owner's.
const ON_START: &str = "onstart";
/// It comes and goes with the definitions of its group version.
const ALWAYS: &str = "true";
/// How often it is looked whether definitions changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The aggregator's own group, which upstream registers no APIService for.
const OWN_GROUP: &str = "apiregistration.k8s.io";

/// The APIServices of the fixed group versions that the registry serves.
pub fn ours(registry: &Registry) -> Vec<ApiService> {
    let catalog = Catalog::of(registry);
    let served = catalog.lists().iter().map(|list| list.group_version.as_str());
    let made = served.filter_map(|group_version| {
        let (group_priority_minimum, version_priority) = priority::fixed(group_version)?;
        let (group, version) = split(group_version);
        let mut service = ApiService::default();
        service.metadata.name = format!("{version}.{group}");
        service.metadata.labels.insert(MANAGED.to_owned(), ON_START.to_owned());
        service.spec = ApiServiceSpec {
            group: group.to_owned(),
            version: version.to_owned(),
            group_priority_minimum,
            version_priority,
            ..ApiServiceSpec::default()
        };
        Some(service)
    });
    made.filter(|service| service.spec.group != OWN_GROUP).collect()
}

/// The APIServices of the custom group versions that are served.
fn custom(registry: &Registry) -> BTreeMap<String, ApiService> {
    let all = registry.custom();
    let made = all.iter().map(|resource| {
        let (group, version) = (resource.row.group, resource.row.version);
        let (group_priority_minimum, version_priority) = priority::of(&resource.row.api_version());
        let mut service = ApiService::default();
        service.metadata.name = format!("{version}.{group}");
        service.metadata.labels.insert(MANAGED.to_owned(), ALWAYS.to_owned());
        service.spec = ApiServiceSpec {
            group: group.to_owned(),
            version: version.to_owned(),
            group_priority_minimum,
            version_priority,
            ..ApiServiceSpec::default()
        };
        (service.metadata.name.clone(), service)
    });
    made.collect()
}

/// Makes APIServices for custom group versions, and removes those whose definitions are gone, until stopped.
pub async fn keep(server: Arc<Server>, stop: CancellationToken) {
    let mut seen: Option<Arc<Vec<Arc<Resource>>>> = None;
    loop {
        let now = server.registry.custom();
        if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &now)) {
            match agree(&server).await {
                Ok(()) => seen = Some(now),
                Err(failure) => {
                    tracing::warn!(%failure, "APIServices of custom resources cannot be written, trying again")
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// Makes what is missing, and removes what nobody serves any more.
async fn agree(server: &Server) -> Result<()> {
    let target = Target::resolve(&server.registry, ("apiregistration.k8s.io", "v1", "apiservices"), "", "", "")?;
    server.catch_up(&target.resource).await?;
    // What other apiservers know of definitions is known here as well, before anything is taken for gone.
    follow::settle(server).await?;
    let wanted = custom(&server.registry);
    for service in wanted.values() {
        bootstrap::ensure(server, Box::new(service.clone())).await?;
    }
    let (found, _) = target.resource.cache.list(&Filter::default());
    let ours = found.iter().filter(|entry| entry.labels.get(MANAGED).is_some_and(|label| label == ALWAYS));
    let definitions = server.registry.find(follow::GROUP, "v1", follow::PLURAL)?;
    let (definitions, _) = definitions.cache.list(&Filter::default());
    let all = server.registry.custom();
    // Definitions that are still to be looked at (at start there may be many) keep their group's APIServices.
    let is_gone = |name: &str| {
        let group = group_of(name);
        let known = all.iter().any(|resource| resource.row.group == group);
        known || !definitions.iter().any(|definition| group_of(definition.name()) == group)
    };
    for entry in ours.filter(|entry| !wanted.contains_key(entry.name()) && is_gone(entry.name())) {
        let gone = target.named("", entry.name());
        let user = User { name: "system:apiserver".to_owned(), groups: vec![MASTERS.to_owned()], ..User::default() };
        match delete::delete_unasked(server, &user, &gone, &DeleteOptions::default()).await {
            Err(failure) if !failure.is_not_found() => return Err(failure),
            _ => {}
        }
    }
    Ok(())
}

/// What follows the first dot: in the names of APIServices (`v1.GROUP`) and of definitions (`PLURAL.GROUP`).
fn group_of(name: &str) -> &str {
    name.split_once('.').map_or("", |(_, group)| group)
}

/// Mends the spec of an APIService that is ours to mend.
#[derive(Debug)]
pub struct Mend<'a>(pub &'a ApiService);

#[async_trait::async_trait]
impl Mutation for Mend<'_> {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        let Some(service) = current.downcast_mut::<ApiService>() else { return Ok(Decision::Keep) };
        let ours = service.metadata.labels.get(MANAGED).is_some_and(|label| label == ON_START);
        if !ours || service.spec == self.0.spec {
            return Ok(Decision::Keep);
        }
        service.spec = self.0.spec.clone();
        Ok(Decision::Write(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn mended(service: ApiService, wanted: &ApiService) -> bool {
        matches!(Mend(wanted).decide(Box::new(service), 1).await, Ok(Decision::Write(_)))
    }

    #[tokio::test]
    async fn only_what_is_ours_is_mended() {
        let all = ours(&Registry::new());
        let apps = all.iter().find(|service| service.metadata.name == "v1.apps").expect("apps");
        assert!(all.iter().any(|service| service.metadata.name == "v1."), "the core group");
        assert!(!mended(apps.clone(), apps).await, "it is as it should be");
        let mut changed = apps.clone();
        changed.spec.version_priority = 1;
        assert!(mended(changed.clone(), apps).await);
        changed.metadata.labels.clear();
        assert!(!mended(changed, apps).await, "it is somebody else's");
    }
}
