//! Our own resource lists and those of extension servers, in the order in which clients are told.

use std::collections::BTreeMap;

use proto::meta::v1::ApiResourceList;

use super::catalog::{Catalog, split, version_order};
use crate::aggregate::{Told, priority};

/// A group version with its place.
struct Placed {
    list: ApiResourceList,
    version_priority: i32,
    stale: bool,
}

/// As upstream: groups by priority, then name; versions by priority, then age. A group version that others serve is theirs;
/// one that does not answer is told nevertheless, with what it said last.
pub fn merge(own: &Catalog, told: &[Told]) -> Catalog {
    if told.is_empty() {
        return own.clone();
    }
    let mut groups: BTreeMap<&str, (i32, Vec<Placed>)> = BTreeMap::new();
    let mut add = |group, group_priority: i32, placed| {
        let (highest, versions) = groups.entry(group).or_insert((group_priority, Vec::new()));
        *highest = (*highest).max(group_priority);
        versions.push(placed);
    };
    let elsewhere: Vec<String> = told.iter().map(|told| told.remote.group_version()).collect();
    for list in own.lists().iter().filter(|list| !elsewhere.contains(&list.group_version)) {
        let (group_priority, version_priority) = priority::of(&list.group_version);
        let placed = Placed { list: list.clone(), version_priority, stale: false };
        add(split(&list.group_version).0, group_priority, placed);
    }
    for Told { remote, resources, .. } in told {
        let list = ApiResourceList { group_version: remote.group_version(), resources: resources.clone() };
        let placed = Placed { list, version_priority: remote.version_priority, stale: !remote.available };
        add(&remote.group, remote.group_priority, placed);
    }
    let mut groups: Vec<(i32, Vec<Placed>)> = groups.into_values().collect();
    // Sorted by name already, and stays so among equals.
    groups.sort_by(|a, b| b.0.cmp(&a.0));
    let mut merged = Catalog::default();
    for (_, mut versions) in groups {
        versions.sort_by(|a, b| {
            let names = version_order(split(&a.list.group_version).1, split(&b.list.group_version).1);
            b.version_priority.cmp(&a.version_priority).then(names)
        });
        for Placed { list, stale, .. } in versions {
            merged.push(list, stale);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Remote;
    use crate::outbound::{Destination, Place, Trust};
    use crate::registry::Registry;

    fn told(group: &str, version: &str, group_priority: i32, available: bool) -> Told {
        Told {
            remote: Remote {
                name: format!("{version}.{group}"),
                group: group.into(),
                version: version.into(),
                to: Destination { place: Place::Origin(String::new()), trust: Trust::Machine, identify: false },
                available,
                group_priority,
                version_priority: 10,
            },
            resources: Vec::new(),
            openapi: None,
        }
    }

    fn names(catalog: &Catalog) -> Vec<&str> {
        catalog.lists().iter().map(|list| list.group_version.as_str()).collect()
    }

    #[test]
    fn others_stand_by_their_priority() {
        let own = Catalog::of(&Registry::new());
        let others = [
            told("metrics.example", "v1beta1", 100, true),
            told("metrics.example", "v1", 100, true),
            told("first.example", "v1", 20_000, false),
            told("between.example", "v1", 17_790, true),
        ];
        let merged = merge(&own, &others);
        let found = names(&merged);
        assert_eq!(found[0], "first.example/v1");
        assert_eq!(&found[found.len() - 2..], ["metrics.example/v1", "metrics.example/v1beta1"]);
        let at = |name| found.iter().position(|found| *found == name).expect(name);
        assert!(at("apps/v1") < at("between.example/v1") && at("between.example/v1") < at("events.k8s.io/v1"));
        assert!(merged.is_stale("first.example/v1") && !merged.is_stale("metrics.example/v1"));
        let ours: Vec<&str> = found.into_iter().filter(|name| !name.contains(".example/")).collect();
        assert_eq!(ours, names(&own), "our own keep their order");
    }

    #[test]
    fn a_group_version_that_others_serve_is_theirs() {
        let merged = merge(&Catalog::of(&Registry::new()), &[told("apps", "v1", 17_800, true)]);
        assert!(merged.list("apps/v1").is_some_and(|list| list.resources.is_empty()));
    }
}
