//! Definitions as rows of the table of resources.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, PoisonError};

use proto::apiextensions::v1::{CustomResourceDefinition, CustomResourceDefinitionVersion};

use super::{conditions, is_namespaced};
use crate::resource::{Codec, Resource, Storage, Subresource};

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// Of a definition that is being deleted: finalizers can still be taken off.
const LAST_VERBS: [&str; 7] = ["delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const BELOW_VERBS: [&str; 3] = ["get", "patch", "update"];

/// A text that lives as long as the process; each is kept once.
pub fn text(text: &str) -> &'static str {
    static KNOWN: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match known.get(text) {
        Some(text) => text,
        None => {
            let kept: &'static str = String::leak(text.to_owned());
            known.insert(kept);
            kept
        }
    }
}

/// The row of one version of a definition.
///
/// Rows live as long as the process, like those of built-in resources, so that requests, caches and watches name them
/// without counting. Each distinct row is kept once: what is leaked are the few hundred bytes of rows that were served
/// once and are not any more.
pub fn of(definition: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> &'static Resource {
    static KNOWN: LazyLock<Mutex<HashMap<[&'static str; 3], Vec<&'static Resource>>>> = LazyLock::new(Mutex::default);
    let row = made(definition, version);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let same = known.entry([row.group, row.version, row.plural]).or_default();
    match same.iter().find(|known| ***known == row) {
        Some(known) => known,
        None => {
            let kept: &'static Resource = Box::leak(Box::new(row));
            same.push(kept);
            kept
        }
    }
}

fn made(definition: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> Resource {
    let (spec, names) = (&definition.spec, &definition.status.accepted_names);
    let namespaced = is_namespaced(definition);
    let group = text(&spec.group);
    // The plural is the definition's own name, whatever is accepted.
    let plural = text(&spec.names.plural);
    let stored = super::storage_version(definition).map_or(version.name.as_str(), |stored| stored.name.as_str());
    let terminating = conditions::is_true(definition, conditions::TERMINATING);
    let texts = |list: &[String]| list.iter().map(|item| text(item)).collect::<Vec<_>>();
    let mut selectable = vec!["metadata.name"];
    if namespaced {
        selectable.push("metadata.namespace");
    }
    selectable.extend(version.selectable_fields.iter().map(|field| text(field.json_path.trim_start_matches('.'))));
    Resource {
        group,
        version: text(&version.name),
        plural,
        kind: text(&spec.names.kind),
        singular: text(&names.singular),
        short_names: texts(&names.short_names),
        namespaced,
        verbs: if terminating { LAST_VERBS.to_vec() } else { VERBS.to_vec() },
        categories: texts(&names.categories),
        storage: Some(Storage {
            prefix: text(&format!("/registry/{group}/{plural}")),
            codec: Codec::Json,
            api_version: text(&format!("{group}/{stored}")),
        }),
        selectable_fields: selectable,
        subresources: subresources(definition, version),
    }
}

fn subresources(definition: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> Vec<Subresource> {
    let Some(declared) = &version.subresources else { return Vec::new() };
    let status = declared.status.as_ref().map(|_| Subresource {
        name: "status",
        group: text(&definition.spec.group),
        version: text(&version.name),
        kind: text(&definition.spec.names.kind),
        verbs: BELOW_VERBS.to_vec(),
    });
    let scale = declared.scale.as_ref().map(|_| Subresource {
        name: "scale",
        group: "autoscaling",
        version: "v1",
        kind: "Scale",
        verbs: BELOW_VERBS.to_vec(),
    });
    status.into_iter().chain(scale).collect()
}

#[cfg(test)]
mod tests {
    use proto::apiextensions::v1::{
        CustomResourceDefinitionVersion as Version, CustomResourceSubresourceStatus as Status,
        CustomResourceSubresources as Subresources, SelectableField,
    };

    use super::*;

    #[test]
    fn a_version_is_a_row_that_is_kept_once() {
        let mut definition = CustomResourceDefinition::default();
        definition.spec.group = "rows.example.com".into();
        definition.spec.scope = "Namespaced".into();
        definition.spec.names.plural = "things".into();
        definition.spec.names.kind = "Thing".into();
        let status = Subresources { status: Some(Status::default()), ..Subresources::default() };
        definition.spec.versions = vec![
            Version { name: "v1".into(), subresources: Some(status), ..Version::default() },
            Version { name: "v2".into(), storage: true, ..Version::default() },
        ];
        definition.spec.versions[0].selectable_fields = vec![SelectableField { json_path: ".spec.color".into() }];
        let row = of(&definition, &definition.spec.versions[0]);
        assert!(std::ptr::eq(row, of(&definition, &definition.spec.versions[0])));
        let storage = row.storage.expect("stored");
        assert_eq!((storage.prefix, storage.api_version), ("/registry/rows.example.com/things", "rows.example.com/v2"));
        assert_eq!(row.selectable_fields, ["metadata.name", "metadata.namespace", "spec.color"]);
        assert!(row.subresource("status").is_some() && row.allows("create"));
    }
}
