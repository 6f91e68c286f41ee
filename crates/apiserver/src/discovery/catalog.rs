//! The resource lists of everything that is served, in the order in which clients are told.

use std::collections::BTreeSet;

use api::resource::{Resource, Subresource};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proto::meta::v1::{ApiResource, ApiResourceList, Verbs};

use crate::custom::follow;
use crate::registry::Registry;

/// A resource list for each group version. A group stands where its first resource stands in the table of resources;
/// of its versions the preferred one comes first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    lists: Vec<ApiResourceList>,
    /// Group versions whose server does not answer, with what it said last.
    stale: BTreeSet<String>,
    custom: Vec<CustomKind>,
}

/// A custom kind, with the definition that says what its objects are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomKind {
    pub group_version: String,
    pub kind: String,
    /// The protobuf of its CustomResourceDefinition, shared with the cache of definitions.
    pub definition: Bytes,
}

impl Catalog {
    /// What the registry serves, and the resources that are answered but never stored (reviews, bindings).
    pub fn of(registry: &Registry) -> Self {
        let served =
            |row: &&Resource| row.storage.is_none() || registry.find(row.group, row.version, row.plural).is_ok();
        let mut catalog = Self::default();
        for row in api::resource::all().iter().filter(served) {
            catalog.add_row(row);
        }
        for resource in registry.custom().iter().filter(|resource| is_told(resource)) {
            catalog.add_row(resource.row);
            if let Some(custom) = custom(registry, resource.row) {
                catalog.add_custom(custom);
            }
        }
        catalog
    }

    /// Adds what is said of a custom kind, whose resources are added beside it.
    pub fn add_custom(&mut self, custom: CustomKind) {
        self.custom.push(custom);
    }

    /// The custom kind of that name.
    pub fn custom(&self, group_version: &str, kind: &str) -> Option<&CustomKind> {
        self.custom.iter().find(|custom| custom.group_version == group_version && custom.kind == kind)
    }

    /// The custom kinds of a group version.
    pub fn custom_in<'a>(&'a self, group_version: &'a str) -> impl Iterator<Item = &'a CustomKind> {
        self.custom.iter().filter(move |custom| custom.group_version == group_version)
    }

    fn add_row(&mut self, row: &Resource) {
        let resources = std::iter::once(resource(row)).chain(row.subresources.iter().map(|sub| below(row, sub)));
        self.add(&row.api_version(), resources);
    }

    /// Adds resources to a group version, which is made where there is none.
    pub fn add(&mut self, group_version: &str, resources: impl IntoIterator<Item = ApiResource>) {
        let index = self.lists.iter().position(|list| list.group_version == group_version).unwrap_or_else(|| {
            let index = self.place(group_version);
            let list = ApiResourceList { group_version: group_version.to_owned(), ..Default::default() };
            self.lists.insert(index, list);
            index
        });
        self.lists[index].resources.extend(resources);
    }

    /// Where the list of a new group version goes: before the next version of its group, or after the last, or at the
    /// end as a new group.
    fn place(&self, group_version: &str) -> usize {
        let (group, version) = split(group_version);
        let own = |list: &ApiResourceList| split(&list.group_version).0 == group;
        let later = |list: &ApiResourceList| own(list) && version_order(version, split(&list.group_version).1).is_lt();
        let after = || self.lists.iter().rposition(own).map(|last| last + 1);
        self.lists.iter().position(later).or_else(after).unwrap_or(self.lists.len())
    }

    /// Adds a group version behind all others.
    pub fn push(&mut self, list: ApiResourceList, stale: bool) {
        if stale {
            self.stale.insert(list.group_version.clone());
        }
        self.lists.push(list);
    }

    /// Whether what is told of a group version may be out of date.
    pub fn is_stale(&self, group_version: &str) -> bool {
        self.stale.contains(group_version)
    }

    /// All of them, in order.
    pub fn lists(&self) -> &[ApiResourceList] {
        &self.lists
    }

    /// The list of a group version: `v1`, `apps/v1`.
    pub fn list(&self, group_version: &str) -> Option<&ApiResourceList> {
        self.lists.iter().find(|list| list.group_version == group_version)
    }

    /// The groups in order, each with its lists; the core group is the one without a name.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &[ApiResourceList])> {
        let same = |a: &ApiResourceList, b: &ApiResourceList| split(&a.group_version).0 == split(&b.group_version).0;
        self.lists.chunk_by(same).map(|lists| (split(&lists[0].group_version).0, lists))
    }
}

fn custom(registry: &Registry, row: &Resource) -> Option<CustomKind> {
    let definitions = registry.find(follow::GROUP, "v1", follow::PLURAL).ok()?;
    let entry = definitions.cache.get(&format!("{}.{}", row.plural, row.group))?;
    Some(CustomKind { group_version: row.api_version(), kind: row.kind.to_owned(), definition: entry.bytes.clone() })
}

/// Whether clients are told of a custom resource: once its names are its own for good.
fn is_told(resource: &crate::registry::Resource) -> bool {
    resource.custom.as_ref().is_some_and(|version| version.is_established)
}

/// Group (empty: core) and version.
pub fn split(group_version: &str) -> (&str, &str) {
    group_version.rsplit_once('/').unwrap_or(("", group_version))
}

fn resource(row: &Resource) -> ApiResource {
    ApiResource {
        name: row.plural.to_owned(),
        singular_name: row.singular.to_owned(),
        namespaced: row.namespaced,
        kind: row.kind.to_owned(),
        verbs: verbs(&row.verbs),
        short_names: owned(&row.short_names),
        categories: owned(&row.categories),
        storage_version_hash: row
            .storage
            .map(|storage| version_hash(storage.api_version, row.kind))
            .unwrap_or_default(),
        ..Default::default()
    }
}

fn below(row: &Resource, sub: &Subresource) -> ApiResource {
    // As upstream: the kind's group version is told only where it is another one.
    let foreign = (sub.group, sub.version) != (row.group, row.version);
    ApiResource {
        name: format!("{}/{}", row.plural, sub.name),
        namespaced: row.namespaced,
        group: if foreign { sub.group.to_owned() } else { String::new() },
        version: if foreign { sub.version.to_owned() } else { String::new() },
        kind: sub.kind.to_owned(),
        verbs: verbs(&sub.verbs),
        ..Default::default()
    }
}

fn verbs(names: &[&str]) -> Verbs {
    Verbs { items: owned(names) }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|item| (*item).to_owned()).collect()
}

/// Upstream's mark of the version in which objects are stored, `group/version/Kind` with an empty core group: tools that
/// migrate storage compare it.
fn version_hash(api_version: &str, kind: &str) -> String {
    let (group, version) = split(api_version);
    let name = format!("{group}/{version}/{kind}");
    STANDARD.encode(&ring::digest::digest(&ring::digest::SHA256, name.as_bytes()).as_ref()[..8])
}

/// Less: `a` is preferred to `b`. Released versions before betas before alphas, newer ones first, then anything else by
/// name, as upstream orders the versions of custom resources.
pub fn version_order(a: &str, b: &str) -> std::cmp::Ordering {
    match (parts(a), parts(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability (2 released, 1 beta, 0 alpha), major and minor number of `v1`, `v2beta3`.
fn parts(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (major, stage) = rest.split_at(digits);
    let major = number(major)?;
    for (stability, name) in [(1, "beta"), (0, "alpha")] {
        if let Some(minor) = stage.strip_prefix(name) {
            return Some((stability, major, number(minor)?));
        }
    }
    stage.is_empty().then_some((2, major, 0))
}

/// A number without leading zeros.
fn number(text: &str) -> Option<u64> {
    if text.starts_with('0') { None } else { text.parse().ok() }
}
