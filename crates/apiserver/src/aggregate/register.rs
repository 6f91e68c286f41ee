//! APIServices of the group versions that this server has, as upstream's autoregistration makes them at start.

use proto::apiregistration::v1::{ApiService, ApiServiceSpec};
use proto::dynamic::DynObject;

use super::priority;
use crate::discovery::{Catalog, split};
use crate::registry::Registry;
use crate::status::Result;
use crate::verbs::write::{Decision, Mutation};

/// Who takes care of an APIService.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// It is made, or mended, when an apiserver starts; later it is its owner's.
const ON_START: &str = "onstart";
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
