//! The parameters of a policy: objects that its binding names.

use std::sync::Arc;

use api::selector::labels::Selector;
use proto::admissionregistration::v1::{ParamKind, ParamRef};
use serde_json::Value;

use crate::registry::{Registry, Resource};
use crate::watch_cache::{Entry, Filter};

/// The objects, each of which a policy is evaluated with; `None` stands for no parameters. The error says what the
/// binding lacks. `namespace` is the request's.
pub fn collect(
    registry: &Registry,
    kind: Option<&ParamKind>,
    wanted: Option<&ParamRef>,
    namespace: &str,
) -> Result<Vec<Option<Value>>, String> {
    let (Some(kind), Some(wanted)) = (kind, wanted) else { return Ok(vec![None]) };
    let resource = find(registry, kind).ok_or_else(|| {
        format!("failed to find resource referenced by paramKind: '{}, Kind={}'", kind.api_version, kind.kind)
    })?;
    let namespace = match (resource.row.namespaced, wanted.namespace.as_str(), namespace) {
        (true, "", "") => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
            );
        }
        (true, "", own) | (true, own, _) => own,
        (false, "", _) => "",
        (false, ..) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
    };
    let entries = match &wanted.selector {
        Some(selector) => {
            let labels = Selector::from_selector(Some(selector)).map_err(|error| error.to_string())?;
            let filter = Filter { namespace: namespace.to_owned(), labels: Some(labels), ..Filter::default() };
            resource.cache.list(&filter).0
        }
        None => resource.cache.get(&resource.key(namespace, &wanted.name)).into_iter().collect(),
    };
    if entries.is_empty() && wanted.parameter_not_found_action.as_deref() == Some("Deny") {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    entries.iter().map(|entry| shown(&resource, entry).map(Some)).collect()
}

/// The resource of a kind, built-in or custom.
fn find(registry: &Registry, wanted: &ParamKind) -> Option<Arc<Resource>> {
    let custom = registry.custom();
    let of_kind = |resource: &&Arc<Resource>| {
        resource.kind.api_version == wanted.api_version && resource.kind.kind == wanted.kind
    };
    registry.all().iter().chain(custom.iter()).find(of_kind).cloned()
}

fn shown(resource: &Resource, entry: &Entry) -> Result<Value, String> {
    let object = resource.decode(&entry.bytes).map_err(|failure| failure.to_string())?;
    let mut json: Value = serde_json::from_slice(&object.to_json()).map_err(|error| error.to_string())?;
    json["metadata"]["resourceVersion"] = entry.rev.to_string().into();
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_binding_lacks_is_told() {
        let registry = Registry::new();
        let kind = |api_version: &str, kind: &str| ParamKind { api_version: api_version.into(), kind: kind.into() };
        let named = |namespace: &str, action: &str| ParamRef {
            name: "p".into(),
            namespace: namespace.into(),
            parameter_not_found_action: Some(action.into()),
            ..Default::default()
        };
        let maps = kind("v1", "ConfigMap");
        assert_eq!(collect(&registry, None, Some(&named("", "Deny")), "a"), Ok(vec![None]));
        assert_eq!(collect(&registry, Some(&maps), None, "a"), Ok(vec![None]));
        assert_eq!(collect(&registry, Some(&maps), Some(&named("", "Allow")), "a"), Ok(vec![]));
        for (kind, wanted, namespace, why) in [
            (&maps, named("", "Deny"), "a", "no params found for policy binding with `Deny` parameterNotFoundAction"),
            (
                &maps,
                named("", "Allow"),
                "",
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources",
            ),
            (
                &kind("v1", "Node"),
                named("a", "Allow"),
                "a",
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`",
            ),
            (
                &kind("example.com/v1", "Rule"),
                named("", "Allow"),
                "a",
                "failed to find resource referenced by paramKind: 'example.com/v1, Kind=Rule'",
            ),
        ] {
            assert_eq!(collect(&registry, Some(kind), Some(&wanted), namespace), Err(why.to_owned()));
        }
    }
}
