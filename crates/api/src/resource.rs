//! The table of resources: what is served under which names, and where it is stored.
//!
//! One row per resource and subresource in `resource/table.tsv`. Adding a resource is adding a row
//! (docs/adding-a-resource.md).

use std::sync::LazyLock;

use proto::dynamic::{KindInfo, kind_info};

/// A resource: its names, its scope and its place in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    /// As in paths: `pods`.
    pub plural: &'static str,
    pub kind: &'static str,
    pub singular: &'static str,
    pub short_names: Vec<&'static str>,
    pub namespaced: bool,
    pub verbs: Vec<&'static str>,
    pub categories: Vec<&'static str>,
    /// `None` where objects are answered but never stored (reviews).
    pub storage: Option<Storage>,
    /// What `--field-selector` may name; metadata.name first, metadata.namespace next where there are namespaces.
    pub selectable_fields: Vec<&'static str>,
    pub subresources: Vec<Subresource>,
}

/// Where and how objects are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Keys are this, `/namespace` where there are namespaces, and `/name`.
    pub prefix: &'static str,
    pub codec: Codec,
    /// The apiVersion that the stored objects say.
    pub api_version: &'static str,
}

/// The form of stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Protobuf in an envelope.
    Protobuf,
    Json,
}

/// Something below an object: status, scale, log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource {
    pub name: &'static str,
    /// Group of the kind that the subresource speaks.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub verbs: Vec<&'static str>,
}

impl Resource {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods`, `deployments.apps`: as errors name the resource.
    pub fn qualified(&self) -> String {
        crate::status::qualified(self.group, self.plural)
    }

    /// The kind's row; `None` for kinds without object metadata.
    pub fn kind_info(&self) -> Option<&'static KindInfo> {
        kind_info(self.group, self.version, self.kind)
    }

    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// The object's key in the store; `None` where nothing is stored.
    pub fn key(&self, namespace: &str, name: &str) -> Option<String> {
        let prefix = self.storage?.prefix;
        Some(if self.namespaced { format!("{prefix}/{namespace}/{name}") } else { format!("{prefix}/{name}") })
    }

    /// What every key of the resource begins with, in one namespace or (empty) in all; ends with a slash.
    pub fn key_prefix(&self, namespace: &str) -> Option<String> {
        let prefix = self.storage?.prefix;
        Some(if self.namespaced && !namespace.is_empty() {
            format!("{prefix}/{namespace}/")
        } else {
            format!("{prefix}/")
        })
    }

    /// Namespace (empty where there are none) and name in a key of the resource.
    pub fn parse_key<'k>(&self, key: &'k str) -> Option<(&'k str, &'k str)> {
        let rest = key.strip_prefix(self.storage?.prefix)?.strip_prefix('/')?;
        if self.namespaced { rest.split_once('/') } else { Some(("", rest)) }
    }
}

static TABLE: LazyLock<Vec<Resource>> = LazyLock::new(|| parse(include_str!("resource/table.tsv")));

/// Every resource, groups in the order in which they are served.
pub fn all() -> &'static [Resource] {
    &TABLE
}

/// The resource of that group, version and plural name.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    all().iter().find(|row| row.plural == plural && row.group == group && row.version == version)
}

/// The resource whose objects are of that kind.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    all().iter().find(|row| row.kind == kind && row.group == group && row.version == version)
}

/// The resource whose objects say that apiVersion and kind.
pub fn by_api_version(api_version: &str, kind: &str) -> Option<&'static Resource> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    by_kind(group, version, kind)
}

/// The resource a person means: plural, singular, short name or kind, also as `name.group` or `name.version.group`.
pub fn resolve(text: &str) -> Option<&'static Resource> {
    let text = text.to_ascii_lowercase();
    let (name, rest) = text.split_once('.').map_or((text.as_str(), None), |(name, rest)| (name, Some(rest)));
    let named = |row: &&Resource| {
        row.plural == name
            || (!row.singular.is_empty() && row.singular == name)
            || row.short_names.contains(&name)
            || row.kind.eq_ignore_ascii_case(name)
    };
    let wanted = |row: &&Resource| match rest {
        None => true,
        Some(rest) => {
            rest == row.group
                || rest == row.version
                || rest.split_once('.').is_some_and(|(version, group)| version == row.version && group == row.group)
        }
    };
    all().iter().filter(named).find(wanted)
}

fn parse(text: &'static str) -> Vec<Resource> {
    let mut rows: Vec<Resource> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let columns: Vec<&'static str> = line.split('\t').collect();
        let column = |index: usize| columns.get(index).copied().unwrap_or_default();
        let list = |index: usize| column(index).split(',').filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let (group, version, plural) = (column(0), column(1), column(2));
        if column(3).is_empty() {
            rows.push(Resource {
                group,
                version,
                plural,
                kind: column(4),
                singular: column(7),
                short_names: list(8),
                namespaced: column(9) == "Namespaced",
                verbs: list(10),
                categories: list(11),
                storage: storage(column(12), column(13), column(15)),
                selectable_fields: selectable(column(9) == "Namespaced", list(14)),
                subresources: Vec::new(),
            });
        } else if let Some(row) =
            rows.iter_mut().rfind(|row| (row.group, row.version, row.plural) == (group, version, plural))
        {
            let own = column(6).is_empty();
            row.subresources.push(Subresource {
                name: column(3),
                group: if own { group } else { column(5) },
                version: if own { version } else { column(6) },
                kind: column(4),
                verbs: list(10),
            });
        }
    }
    rows
}

fn storage(prefix: &'static str, codec: &str, api_version: &'static str) -> Option<Storage> {
    let codec = match codec {
        "protobuf" => Codec::Protobuf,
        "json" => Codec::Json,
        _ => return None,
    };
    Some(Storage { prefix, codec, api_version })
}

fn selectable(namespaced: bool, more: Vec<&'static str>) -> Vec<&'static str> {
    let mut fields = vec!["metadata.name"];
    if namespaced {
        fields.push("metadata.namespace");
    }
    fields.extend(more);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_row_has_a_kind() {
        for row in all().iter().filter(|row| row.storage.is_some()) {
            assert!(row.kind_info().is_some(), "{} {} {}", row.group, row.version, row.kind);
        }
    }

    #[test]
    fn people_find_resources_by_any_name() {
        for (text, plural, group) in [
            ("po", "pods", ""),
            ("Pod", "pods", ""),
            ("deploy", "deployments", "apps"),
            ("deployments.apps", "deployments", "apps"),
            ("deployments.v1.apps", "deployments", "apps"),
            ("events", "events", ""),
            ("events.events.k8s.io", "events", "events.k8s.io"),
        ] {
            let row = resolve(text).map(|row| (row.plural, row.group));
            assert_eq!(row, Some((plural, group)), "{text}");
        }
        assert_eq!(resolve("nonsense"), None);
    }

    #[test]
    fn keys_are_upstreams() {
        let key = |group, plural| find(group, "v1", plural).and_then(|row| row.key("ns", "a"));
        assert_eq!(key("", "nodes").as_deref(), Some("/registry/minions/a"));
        assert_eq!(key("", "services").as_deref(), Some("/registry/services/specs/ns/a"));
        assert_eq!(key("apps", "deployments").as_deref(), Some("/registry/deployments/ns/a"));
        let pods = find("", "v1", "pods").expect("a row");
        assert_eq!(pods.parse_key("/registry/pods/ns/a"), Some(("ns", "a")));
        assert_eq!(pods.subresource("eviction").map(|sub| (sub.group, sub.version)), Some(("policy", "v1")));
    }
}
