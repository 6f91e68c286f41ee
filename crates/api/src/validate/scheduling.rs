//! Validation of what steers a pod to its node: selectors, affinity, tolerations, spread, gates.

use std::collections::BTreeSet;

use proto::core::v1::{
    Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSchedulingGate, Toleration,
    TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use proto::meta::v1::LabelSelector;

use super::check::{Errors, label_selector, one_of, positive, shape};
use super::{FieldError, Path};
use crate::name;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn affinity(errors: &mut Errors, path: Path<'_>, affinity: &Affinity) {
    if let Some(node) = &affinity.node_affinity {
        let path = path.child("nodeAffinity");
        if let Some(selector) = &node.required_during_scheduling_ignored_during_execution {
            node_selector(errors, path.child(REQUIRED), selector);
        }
        let preferred = path.child(PREFERRED);
        for (index, term) in node.preferred_during_scheduling_ignored_during_execution.iter().enumerate() {
            let path = preferred.index(index);
            weight(errors, path.child("weight"), term.weight);
            // What is only preferred may name values that no label can have, as upstream.
            node_term(errors, path.child("preference"), &term.preference, false);
        }
    }
    let pods = affinity.pod_affinity.as_ref().map(|pods| {
        let required = &pods.required_during_scheduling_ignored_during_execution;
        (required, &pods.preferred_during_scheduling_ignored_during_execution)
    });
    if let Some((required, preferred)) = pods {
        pod_terms(errors, path.child("podAffinity"), required, preferred);
    }
    let apart = affinity.pod_anti_affinity.as_ref().map(|pods| {
        let required = &pods.required_during_scheduling_ignored_during_execution;
        (required, &pods.preferred_during_scheduling_ignored_during_execution)
    });
    if let Some((required, preferred)) = apart {
        pod_terms(errors, path.child("podAntiAffinity"), required, preferred);
    }
}

fn weight(errors: &mut Errors, path: Path<'_>, weight: i32) {
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(path, weight, "must be in the range 1-100"));
    }
}

/// Terms of which one must hold.
pub fn node_selector(errors: &mut Errors, path: Path<'_>, selector: &NodeSelector) {
    let path = path.child("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        errors.push(FieldError::required(path, "must have at least one node selector term"));
    }
    for (index, term) in selector.node_selector_terms.iter().enumerate() {
        node_term(errors, path.index(index), term, true);
    }
}

/// `strict`: its values are those of labels.
fn node_term(errors: &mut Errors, path: Path<'_>, term: &NodeSelectorTerm, strict: bool) {
    let expressions = path.child("matchExpressions");
    for (index, requirement) in term.match_expressions.iter().enumerate() {
        node_requirement(errors, expressions.index(index), requirement);
        let values = expressions.index(index);
        let values = values.child("values");
        for (index, value) in requirement.values.iter().enumerate().filter(|_| strict) {
            shape(errors, values.index(index), value, name::label_value);
        }
    }
    let fields = path.child("matchFields");
    for (index, requirement) in term.match_fields.iter().enumerate() {
        let path = fields.index(index);
        let values = path.child("values");
        match requirement.operator.as_str() {
            "In" | "NotIn" if requirement.values.len() != 1 => {
                let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(FieldError::required(values, why));
            }
            "In" | "NotIn" => {}
            other => errors.push(FieldError::invalid(path.child("operator"), other, "not a valid selector operator")),
        }
        if requirement.key == "metadata.name" {
            for (index, value) in requirement.values.iter().enumerate() {
                shape(errors, values.index(index), value, name::dns_subdomain);
            }
        } else {
            errors.push(FieldError::invalid(path.child("key"), &requirement.key, "not a valid field selector key"));
        }
    }
}

fn node_requirement(errors: &mut Errors, path: Path<'_>, requirement: &NodeSelectorRequirement) {
    let values = path.child("values");
    let count = requirement.values.len();
    match requirement.operator.as_str() {
        "In" | "NotIn" if count == 0 => {
            errors.push(FieldError::required(values, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if count > 0 => errors
            .push(FieldError::forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")),
        "Gt" | "Lt" if count != 1 => {
            errors.push(FieldError::required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(FieldError::invalid(path.child("operator"), other, "not a valid selector operator")),
    }
    shape(errors, path.child("key"), &requirement.key, name::qualified_name);
}

fn pod_terms(errors: &mut Errors, path: Path<'_>, required: &[PodAffinityTerm], preferred: &[WeightedPodAffinityTerm]) {
    let at = path.child(REQUIRED);
    for (index, term) in required.iter().enumerate() {
        pod_term(errors, at.index(index), term);
    }
    let at = path.child(PREFERRED);
    for (index, weighted) in preferred.iter().enumerate() {
        let path = at.index(index);
        weight(errors, path.child("weight"), weighted.weight);
        pod_term(errors, path.child("podAffinityTerm"), &weighted.pod_affinity_term);
    }
}

fn pod_term(errors: &mut Errors, path: Path<'_>, term: &PodAffinityTerm) {
    if let Some(selector) = &term.label_selector {
        label_selector(errors, path.child("labelSelector"), selector);
    }
    if let Some(selector) = &term.namespace_selector {
        label_selector(errors, path.child("namespaceSelector"), selector);
    }
    for namespace in &term.namespaces {
        // Upstream's name for the field.
        shape(errors, path.child("namespace"), namespace, name::dns_label);
    }
    own_keys(errors, path, term);
    if term.topology_key.is_empty() {
        errors.push(FieldError::required(path.child("topologyKey"), "can not be empty"));
    }
    shape(errors, path.child("topologyKey"), &term.topology_key, name::qualified_name);
}

/// Keys of labels that a term compares with the pod's own.
fn own_keys(errors: &mut Errors, path: Path<'_>, term: &PodAffinityTerm) {
    for (field, keys) in [("matchLabelKeys", &term.match_label_keys), ("mismatchLabelKeys", &term.mismatch_label_keys)]
    {
        let path = path.child(field);
        if !keys.is_empty() && term.label_selector.is_none() {
            errors.push(FieldError::forbidden(path, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (index, key) in keys.iter().enumerate() {
            shape(errors, path.index(index), key, name::qualified_name);
        }
    }
    if let Some(selector) = &term.label_selector {
        twice_selected(errors, path, &term.match_label_keys, selector);
    }
    let path = path.child("matchLabelKeys");
    for (index, key) in term.match_label_keys.iter().enumerate() {
        if term.mismatch_label_keys.contains(key) {
            let why = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(FieldError::invalid(path.index(index), key, why));
        }
    }
}

/// A new pod's keys are expressions of the selector by now: one more with such a key was the author's.
fn twice_selected(errors: &mut Errors, path: Path<'_>, keys: &[String], selector: &LabelSelector) {
    let mut seen: BTreeSet<&String> = selector.match_labels.keys().collect();
    for expression in &selector.match_expressions {
        let index = keys.iter().position(|key| *key == expression.key);
        if let Some(index) = index.filter(|_| seen.contains(&expression.key)) {
            let why = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(path.index(index), &expression.key, why));
        }
        seen.insert(&expression.key);
    }
}

/// A label's value, whatever is wrong with it told at once.
fn value(errors: &mut Errors, path: Path<'_>, text: &str) {
    let wrong = name::label_value(text);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, text, wrong.join(";")));
    }
}

pub fn tolerations(errors: &mut Errors, path: Path<'_>, tolerations: &[Toleration]) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let path = path.index(index);
        let operator = path.child("operator");
        if !toleration.key.is_empty() {
            shape(errors, path.child("key"), &toleration.key, name::qualified_name);
        } else if toleration.operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(operator, &toleration.operator, why));
        }
        if toleration.toleration_seconds.is_some() && toleration.effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(path.child("effect"), &toleration.effect, why));
        }
        match toleration.operator.as_str() {
            "" | "Equal" => value(errors, operator, &toleration.value),
            "Exists" if !toleration.value.is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(operator, &toleration.value, why));
            }
            "Exists" => {}
            other => errors.push(FieldError::not_supported(operator, other, &["Equal", "Exists"])),
        }
        if !toleration.effect.is_empty() {
            one_of(errors, path.child("effect"), &toleration.effect, EFFECTS);
        }
    }
}

pub fn spread(errors: &mut Errors, path: Path<'_>, constraints: &[TopologySpreadConstraint]) {
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        positive(errors, path.child("maxSkew"), i64::from(constraint.max_skew));
        if constraint.topology_key.is_empty() {
            errors.push(FieldError::required(path.child("topologyKey"), "can not be empty"));
        }
        one_of(
            errors,
            path.child("whenUnsatisfiable"),
            &constraint.when_unsatisfiable,
            &["DoNotSchedule", "ScheduleAnyway"],
        );
        let pair = |other: &TopologySpreadConstraint| {
            other.topology_key == constraint.topology_key && other.when_unsatisfiable == constraint.when_unsatisfiable
        };
        if constraints[index + 1..].iter().any(pair) {
            let shown = format!("{{{}, {}}}", constraint.topology_key, constraint.when_unsatisfiable);
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(path, shown.as_str()));
        }
        if let Some(domains) = constraint.min_domains {
            let path = path.child("minDomains");
            positive(errors, path, i64::from(domains));
            if constraint.when_unsatisfiable != "DoNotSchedule" {
                let why = "can only use minDomains if whenUnsatisfiable=DoNotSchedule";
                errors.push(FieldError::invalid(path, domains, why));
            }
        }
        for (field, policy) in [
            ("nodeAffinityPolicy", &constraint.node_affinity_policy),
            ("nodeTaintsPolicy", &constraint.node_taints_policy),
        ] {
            if let Some(policy) = policy {
                one_of(errors, path.child(field), policy, &["Ignore", "Honor"]);
            }
        }
        let keys = path.child("matchLabelKeys");
        if !constraint.match_label_keys.is_empty() && constraint.label_selector.is_none() {
            errors.push(FieldError::forbidden(keys, "must not be specified when labelSelector is not set"));
        }
        for (index, key) in constraint.match_label_keys.iter().enumerate() {
            shape(errors, keys.index(index), key, name::qualified_name);
        }
        if let Some(selector) = &constraint.label_selector {
            twice_selected(errors, keys, &constraint.match_label_keys, selector);
            label_selector(errors, path.child("labelSelector"), selector);
        }
    }
}

pub fn gates(errors: &mut Errors, path: Path<'_>, gates: &[PodSchedulingGate]) {
    for (index, gate) in gates.iter().enumerate() {
        let path = path.index(index);
        shape(errors, path, &gate.name, name::qualified_name);
        if gates[..index].iter().any(|other| other.name == gate.name) {
            errors.push(FieldError::duplicate(path, &gate.name));
        }
    }
}

/// Taints of a node.
pub fn taints(errors: &mut Errors, path: Path<'_>, taints: &[proto::core::v1::Taint]) {
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        shape(errors, path.child("key"), &taint.key, name::qualified_name);
        value(errors, path.child("value"), &taint.value);
        match taint.effect.as_str() {
            "" => errors.push(FieldError::required(path.child("effect"), "")),
            effect => one_of(errors, path.child("effect"), effect, EFFECTS),
        }
        let same = |other: &proto::core::v1::Taint| other.key == taint.key && other.effect == taint.effect;
        if taints[..index].iter().any(same) {
            errors.push(FieldError::duplicate(path, super::error::Json(taint)));
        }
    }
}
