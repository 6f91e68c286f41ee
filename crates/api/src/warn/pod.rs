//! Pods, and the templates that pods are made of.

use std::collections::BTreeSet;

use proto::core::v1::{Affinity, Pod, PodAffinityTerm, PodSpec, PodTemplateSpec, WeightedPodAffinityTerm};
use proto::meta::v1::{LabelSelector, ObjectMeta};

use super::{METADATA, SPEC, Warnings, address, annotations, container, node_labels, volume};
use crate::name;
use crate::status::quoted;
use crate::validate::Path;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// A pod. Its name is judged when it gets it.
pub fn pod(warnings: &mut Warnings, new: &Pod, old: Option<&Pod>) {
    if old.is_none() {
        label_name(warnings, &new.metadata, "the Pod's hostname");
    }
    judge(warnings, SPEC, &new.spec, METADATA, &new.metadata);
}

/// A template of pods at `path`.
pub fn template(warnings: &mut Warnings, path: Path<'_>, template: &PodTemplateSpec) {
    judge(warnings, path.child("spec"), &template.spec, path.child("metadata"), &template.metadata);
}

/// A name that is used where only a DNS label fits.
pub fn label_name(warnings: &mut Warnings, meta: &ObjectMeta, used_in: &str) {
    let wrong = name::dns_label(&meta.name);
    if !wrong.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in {used_in}, which can result in surprising behavior; \
             a DNS label is recommended: [{}]",
            wrong.join(" ")
        ));
    }
}

fn judge(warnings: &mut Warnings, path: Path<'_>, spec: &PodSpec, meta_path: Path<'_>, meta: &ObjectMeta) {
    node_labels::map(warnings, path.child("nodeSelector"), &spec.node_selector);
    if let Some(affinity) = &spec.affinity {
        self::affinity(warnings, path.child("affinity"), affinity);
    }
    let spread = path.child("topologySpreadConstraints");
    for (index, constraint) in spec.topology_spread_constraints.iter().enumerate() {
        let path = spread.index(index);
        node_labels::named(warnings, path.child("topologyKey"), &constraint.topology_key);
        selects(warnings, path, constraint.label_selector.as_ref());
    }
    annotations::pod(warnings, meta_path.child("annotations"), meta, spec);
    host_aliases(warnings, path.child("hostAliases"), spec);
    pull_secrets(warnings, path.child("imagePullSecrets"), spec);
    volume::all(warnings, path.child("volumes"), &spec.volumes);
    container::all(warnings, path, spec);
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        let path = path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    if let Some(dns) = &spec.dns_config {
        address::ips(warnings, path.child("dnsConfig").child("nameservers"), &dns.nameservers);
    }
}

/// Without a selector no pod is meant.
fn selects(warnings: &mut Warnings, path: Path<'_>, selector: Option<&LabelSelector>) {
    if selector.is_none() {
        let path = path.child("labelSelector");
        warnings.push(format!("{path}: a null labelSelector results in matching no pod"));
    }
}

fn affinity(warnings: &mut Warnings, path: Path<'_>, affinity: &Affinity) {
    if let Some(nodes) = &affinity.node_affinity {
        let path = path.child("nodeAffinity");
        let (required, preferred) = (path.child(REQUIRED), path.child(PREFERRED));
        let terms = required.child("nodeSelectorTerms");
        let selector = nodes.required_during_scheduling_ignored_during_execution.iter();
        for (index, term) in selector.flat_map(|selector| &selector.node_selector_terms).enumerate() {
            node_labels::term(warnings, terms.index(index), term);
            node_labels::impossible_values(warnings, terms.index(index), term);
        }
        for (index, term) in nodes.preferred_during_scheduling_ignored_during_execution.iter().enumerate() {
            let path = preferred.index(index);
            node_labels::term(warnings, path.child("preference"), &term.preference);
            node_labels::impossible_values(warnings, path.child("preference"), &term.preference);
        }
    }
    if let Some(near) = &affinity.pod_affinity {
        let (required, preferred) = (
            &near.required_during_scheduling_ignored_during_execution,
            &near.preferred_during_scheduling_ignored_during_execution,
        );
        pods(warnings, path.child("podAffinity"), required, preferred);
    }
    if let Some(apart) = &affinity.pod_anti_affinity {
        let (required, preferred) = (
            &apart.required_during_scheduling_ignored_during_execution,
            &apart.preferred_during_scheduling_ignored_during_execution,
        );
        pods(warnings, path.child("podAntiAffinity"), required, preferred);
    }
}

fn pods(warnings: &mut Warnings, path: Path<'_>, required: &[PodAffinityTerm], preferred: &[WeightedPodAffinityTerm]) {
    let required_path = path.child(REQUIRED);
    for (index, term) in required.iter().enumerate() {
        pod_term(warnings, required_path.index(index), term);
    }
    let preferred_path = path.child(PREFERRED);
    for (index, term) in preferred.iter().enumerate() {
        pod_term(warnings, preferred_path.index(index).child("podAffinityTerm"), &term.pod_affinity_term);
    }
}

fn pod_term(warnings: &mut Warnings, path: Path<'_>, term: &PodAffinityTerm) {
    node_labels::named(warnings, path.child("topologyKey"), &term.topology_key);
    selects(warnings, path, term.label_selector.as_ref());
}

fn host_aliases(warnings: &mut Warnings, path: Path<'_>, spec: &PodSpec) {
    let mut known = BTreeSet::new();
    for (index, alias) in spec.host_aliases.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("ip");
        if !known.insert(&alias.ip) {
            warnings.push(format!("{path}: duplicate ip {}", quoted(&alias.ip)));
        }
        address::ip(warnings, path, &alias.ip);
    }
}

fn pull_secrets(warnings: &mut Warnings, path: Path<'_>, spec: &PodSpec) {
    let mut known = BTreeSet::new();
    for (index, secret) in spec.image_pull_secrets.iter().enumerate() {
        let path = path.index(index);
        let (path, shown) = (path.child("name"), quoted(&secret.name));
        if secret.name.is_empty() {
            warnings.push(format!("{path}: invalid empty name {shown}"));
        } else if !known.insert(&secret.name) {
            warnings.push(format!("{path}: duplicate name {shown}"));
        }
    }
}

#[cfg(test)]
mod tests;
