//! Labels of nodes that have newer names.

use std::collections::BTreeMap;

use proto::core::v1::NodeSelectorTerm;
use proto::meta::v1::LabelSelector;

use super::Warnings;
use crate::name;
use crate::validate::Path;

/// The label, since when it is deprecated, and the one to use instead.
const DEPRECATED: &[(&str, &str, &str)] = &[
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
];

fn deprecated(label: &str) -> Option<String> {
    let (_, since, instead) = DEPRECATED.iter().find(|(old, ..)| *old == label)?;
    Some(format!("deprecated since {since}; use \"{instead}\" instead"))
}

/// A field that holds the name of a label.
pub fn named(warnings: &mut Warnings, path: Path<'_>, label: &str) {
    warnings.extend(deprecated(label).map(|why| format!("{path}: {label} is {why}")));
}

/// Labels and their values.
pub fn map(warnings: &mut Warnings, path: Path<'_>, labels: &BTreeMap<String, String>) {
    for label in labels.keys() {
        warnings.extend(deprecated(label).map(|why| format!("{}: {why}", path.key(label))));
    }
}

/// A term of a selector of nodes.
pub fn term(warnings: &mut Warnings, path: Path<'_>, term: &NodeSelectorTerm) {
    let path = path.child("matchExpressions");
    for (index, expression) in term.match_expressions.iter().enumerate() {
        named(warnings, path.index(index).child("key"), &expression.key);
    }
}

/// Values that no label can have: such a term selects no node by them.
pub fn impossible_values(warnings: &mut Warnings, path: Path<'_>, term: &NodeSelectorTerm) {
    let path = path.child("matchExpressions");
    for (index, expression) in term.match_expressions.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("values");
        for (index, value) in expression.values.iter().enumerate() {
            let path = path.index(index);
            warnings.extend(name::label_value(value).iter().map(|why| format!("{path}: {value} is invalid, {why}")));
        }
    }
}

/// A selector by labels.
pub fn selector(warnings: &mut Warnings, path: Path<'_>, selector: &LabelSelector) {
    map(warnings, path.child("matchLabels"), &selector.match_labels);
    let path = path.child("matchExpressions");
    for (index, expression) in selector.match_expressions.iter().enumerate() {
        named(warnings, path.index(index).child("key"), &expression.key);
    }
}
