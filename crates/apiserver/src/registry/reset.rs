//! Fields that a write leaves alone, whatever the client sends, and so gives no owner: upstream's reset fields.

use super::Resource;

type Paths = &'static [&'static [&'static str]];

const STATUS: Paths = &[&["status"]];
const SPEC: Paths = &[&["spec"]];
const SPEC_AND_LABELS: Paths = &[&["spec"], &["metadata", "labels"]];
const SPEC_AND_METADATA: Paths = &[&["spec"], &["metadata"]];
const SPEC_OF_POD: Paths = &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]];

/// The paths that a write of the subresource (empty: of the object itself) leaves alone.
pub fn fields(resource: &Resource, subresource: &str) -> Paths {
    let row = resource.row;
    match subresource {
        "status" => match (row.group, row.plural) {
            ("", "pods") => SPEC_OF_POD,
            ("apiextensions.k8s.io" | "flowcontrol.apiserver.k8s.io" | "admissionregistration.k8s.io", _)
            | ("storage.k8s.io", "volumeattachments")
            | ("resource.k8s.io", "resourceclaims") => SPEC_AND_METADATA,
            _ if resource.strategy.rules().status_keeps_labels => SPEC_AND_LABELS,
            _ => SPEC,
        },
        "" | "finalize" if resource.has_subresource("status") => STATUS,
        _ => &[],
    }
}
