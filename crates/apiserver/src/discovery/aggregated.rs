//! All groups with all their resources in one document: apidiscovery.k8s.io/v2, which spares clients a request for
//! each group version.

use proto::apidiscovery::v2::{
    ApiGroupDiscovery, ApiGroupDiscoveryList, ApiResourceDiscovery, ApiSubresourceDiscovery, ApiVersionDiscovery,
};
use proto::meta::v1::{ApiResource, ApiResourceList, GroupVersionKind, ObjectMeta};

use super::catalog::{Catalog, split};
use super::lists::Answer;

/// The document at `/api` (the core group) or `/apis` (the others).
pub fn list(catalog: &Catalog, path: &str) -> Option<Answer> {
    let core = match path {
        "/api" => true,
        "/apis" => false,
        _ => return None,
    };
    let groups = catalog.groups().filter(|(group, _)| group.is_empty() == core);
    let items = groups.map(|(group, lists)| ApiGroupDiscovery {
        metadata: ObjectMeta { name: group.to_owned(), ..Default::default() },
        versions: lists.iter().map(|list| version(list, catalog.is_stale(&list.group_version))).collect(),
    });
    Some(Answer::of(&ApiGroupDiscoveryList { items: items.collect(), ..Default::default() }))
}

fn version(list: &ApiResourceList, stale: bool) -> ApiVersionDiscovery {
    let mut resources: Vec<ApiResourceDiscovery> = Vec::new();
    for row in &list.resources {
        match (row.name.split_once('/'), resources.last_mut()) {
            // A list tells subresources right after what they are below.
            (Some((parent, name)), Some(last)) if last.resource == parent => {
                last.subresources.push(subresource(row, name));
            }
            _ => resources.push(resource(row)),
        }
    }
    let (_, version) = split(&list.group_version);
    ApiVersionDiscovery {
        version: version.to_owned(),
        resources,
        freshness: if stale { "Stale" } else { "Current" }.to_owned(),
    }
}

fn resource(row: &ApiResource) -> ApiResourceDiscovery {
    ApiResourceDiscovery {
        resource: row.name.clone(),
        response_kind: Some(kind(row)),
        scope: if row.namespaced { "Namespaced" } else { "Cluster" }.to_owned(),
        singular_resource: row.singular_name.clone(),
        verbs: row.verbs.items.clone(),
        short_names: row.short_names.clone(),
        categories: row.categories.clone(),
        subresources: Vec::new(),
    }
}

fn subresource(row: &ApiResource, name: &str) -> ApiSubresourceDiscovery {
    ApiSubresourceDiscovery {
        subresource: name.to_owned(),
        response_kind: Some(kind(row)),
        verbs: row.verbs.items.clone(),
        ..Default::default()
    }
}

/// Without group and version where they are the list's own, as upstream.
fn kind(row: &ApiResource) -> GroupVersionKind {
    GroupVersionKind { group: row.group.clone(), version: row.version.clone(), kind: row.kind.clone() }
}
