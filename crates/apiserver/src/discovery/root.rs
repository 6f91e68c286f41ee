//! The paths that `/` tells.

use std::collections::BTreeSet;

use proto::meta::v1::RootPaths;

use super::catalog::Catalog;

/// The documents about the API itself that every server has.
const FIXED: &[&str] = &["/api", "/apis", "/apis/", "/openapi/v2", "/openapi/v3", "/openapi/v3/"];

/// The paths of all documents and `others`, sorted, each once.
pub fn paths<'a>(catalog: &Catalog, others: impl IntoIterator<Item = &'a str>) -> RootPaths {
    let mut paths: BTreeSet<String> = FIXED.iter().copied().chain(others).map(str::to_owned).collect();
    for (group, lists) in catalog.groups() {
        let prefix = if group.is_empty() { "/api" } else { "/apis" };
        if !group.is_empty() {
            paths.insert(format!("{prefix}/{group}"));
        }
        paths.extend(lists.iter().map(|list| format!("{prefix}/{}", list.group_version)));
    }
    RootPaths { paths: paths.into_iter().collect() }
}
