//! Kinds with little to warn of.

#![allow(deprecated, reason = "what is deprecated is warned of")]

use proto::core::v1::{Node, ServiceAccount};
use proto::node::v1::RuntimeClass;

use super::{METADATA, SPEC, Warnings, address, node_labels};
use crate::validate::Path;

const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// A node.
pub fn node(warnings: &mut Warnings, new: &Node, _: Option<&Node>) {
    if new.spec.config_source.is_some() {
        warnings.push(format!("{}: the feature is removed", SPEC.child("configSource")));
    }
    if !new.spec.external_id.is_empty() {
        let path = SPEC.child("externalID");
        warnings.push(format!("{path}: this field is deprecated, and is unused by Kubernetes"));
    }
    address::cidrs(warnings, SPEC.child("podCIDRs"), &new.spec.pod_cidrs);
}

/// An account; one that had the annotation already is not told again.
pub fn service_account(warnings: &mut Warnings, new: &ServiceAccount, old: Option<&ServiceAccount>) {
    let has = |account: &ServiceAccount| account.metadata.annotations.contains_key(MOUNTABLE);
    if has(new) && !old.is_some_and(has) {
        let path = METADATA.child("annotations");
        warnings.push(format!(
            "{}: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets",
            path.key(MOUNTABLE)
        ));
    }
}

/// A class of runtimes.
pub fn runtime_class(warnings: &mut Warnings, new: &RuntimeClass, _: Option<&RuntimeClass>) {
    if let Some(scheduling) = &new.scheduling {
        node_labels::map(warnings, Path::root("scheduling").child("nodeSelector"), &scheduling.node_selector);
    }
}
