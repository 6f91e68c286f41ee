//! As which resource a request concerns somebody: as itself, or as the same object in another version.

use std::sync::Arc;

use proto::admissionregistration::v1::RuleWithOperations;

use super::attributes::{Attributes, KindName, Named};
use super::rules;
use crate::registry::{Registry, Resource};

/// How a request concerns a webhook or a policy.
#[derive(Debug, Clone)]
pub enum As {
    /// As what it is.
    Itself,
    /// As that resource, which serves the same objects.
    Other(Arc<Resource>),
}

impl As {
    /// The resource that is shown.
    pub fn resource<'a>(&'a self, asked: &Attributes<'a>) -> Named<'a> {
        match self {
            Self::Itself => asked.resource,
            Self::Other(other) => Named::of(other),
        }
    }

    /// The kind that is shown. What a subresource speaks is the same in every version.
    pub fn kind<'a>(&'a self, asked: &Attributes<'a>, own: &Resource) -> KindName<'a> {
        match self {
            Self::Other(other) if asked.kind.kind == own.kind.kind => {
                KindName { group: other.kind.group, version: other.kind.version, kind: other.kind.kind }
            }
            _ => asked.kind,
        }
    }
}

/// The other resources that serve the same objects.
pub fn equivalents(registry: &Registry, resource: &Resource, subresource: &str) -> Vec<Arc<Resource>> {
    if resource.prefix.is_empty() {
        return Vec::new();
    }
    let same = |other: &&Arc<Resource>| {
        other.prefix == resource.prefix
            && !std::ptr::eq(Arc::as_ptr(other), resource)
            && (subresource.is_empty() || other.has_subresource(subresource))
    };
    registry.all().iter().chain(registry.custom().iter()).filter(same).cloned().collect()
}

/// Whether one of the rules is about the request; with `others`, about the same object in another version. Each rule
/// comes with the names that it is limited to; none: every name.
pub fn find<'r>(
    rules: impl Iterator<Item = (&'r RuleWithOperations, &'r [String])> + Clone,
    asked: &Attributes<'_>,
    others: &[Arc<Resource>],
) -> Option<As> {
    let about = |(rule, names): (&RuleWithOperations, &[String]), resource: Named<'_>| {
        rules::matches(rule, asked, resource) && (names.is_empty() || names.contains(&asked.name))
    };
    if rules.clone().any(|rule| about(rule, asked.resource)) {
        return Some(As::Itself);
    }
    // Earlier rules count first, as upstream.
    let mut rules = rules;
    rules
        .find_map(|rule| others.iter().find(|other| about(rule, Named::of(other))))
        .map(|other| As::Other(other.clone()))
}

#[cfg(test)]
mod tests {
    use proto::admissionregistration::v1::Rule;

    use super::super::attributes::Operation;
    use super::super::attributes::tests::asked;
    use super::*;
    use crate::authenticate::User;

    #[test]
    fn the_same_objects_are_known_by_other_names() {
        let registry = Registry::new();
        let events = registry.find("events.k8s.io", "v1", "events").expect("served");
        let user = User::default();
        let asked = asked(&user, Operation::Create, "events.k8s.io/v1/events/default/e");
        let others = equivalents(&registry, events, "");
        assert_eq!(others.len(), 1);
        let rule = |group: &str| RuleWithOperations {
            operations: vec!["*".into()],
            rule: Rule {
                api_groups: vec![group.into()],
                api_versions: vec!["v1".into()],
                resources: vec!["events".into()],
                scope: None,
            },
        };
        let (core, own, apps) = (rule(""), rule("events.k8s.io"), rule("apps"));
        let with = |rule, others: &[Arc<Resource>]| find([(rule, &[][..])].into_iter(), &asked, others);
        assert!(matches!(with(&own, &others), Some(As::Itself)));
        let Some(found @ As::Other(_)) = with(&core, &others) else { panic!("as a core event") };
        assert_eq!((found.resource(&asked).group, found.kind(&asked, events).kind), ("", "Kind"));
        assert!(with(&core, &[]).is_none() && with(&apps, &others).is_none());
        let names = ["other".to_owned()];
        assert!(find([(&own, &names[..])].into_iter(), &asked, &others).is_none());
    }

    #[test]
    fn most_resources_have_one_name_only() {
        let registry = Registry::new();
        assert!(equivalents(&registry, registry.core("pods").expect("served"), "").is_empty());
        let scalers = registry.find("autoscaling", "v1", "horizontalpodautoscalers").expect("served");
        assert_eq!(equivalents(&registry, scalers, "status").len(), 1);
    }
}
