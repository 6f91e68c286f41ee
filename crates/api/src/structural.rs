//! Structural schemas: what a definition says of the objects of its kind, and every decision that follows from it.
//!
//! Pure: JSON values in, decisions out. [`Schema`] prunes, fills in defaults and validates; [`columns`] makes rows of
//! tables, [`path`] reads the simple paths of scale and selectable fields, [`openapi`] writes what clients read.
//! Rules in CEL stand in the nodes ([`node::Rule`]); [`rules`] evaluates them.

mod check;
pub mod columns;
mod correlate;
mod embedded;
mod fill;
mod format;
pub mod json_path;
mod lists;
pub mod node;
mod number;
pub mod openapi;
pub mod path;
pub mod pattern;
mod place;
mod prune;
pub mod rules;
mod show;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use proto::apiextensions::v1::JsonSchemaProps;
use proto::meta::v1::StatusCause;
use serde_json::Value;

use crate::validate::{FieldError, Reason};
use node::Node;
use place::Place;

/// The schema of one version of a kind.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    root: Node,
    /// Made when the first object is judged: most definitions are idle.
    rules: OnceLock<Option<Arc<rules::Rules>>>,
}

impl Schema {
    /// Reads what a definition says. What definitions may not say is left out, never an error: it was refused before.
    pub fn new(props: &JsonSchemaProps) -> Self {
        let mut root = Node::new(props, 0);
        root.defaults_mut(&|default, node| {
            prune::prune(default, node, false);
            prune::prune_nulls(default, node);
            embedded::prune(default, node);
        });
        Self { root, rules: OnceLock::new() }
    }

    /// The schema of the whole object.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Drops what the schema does not know, nulls that may not stand and have no default, and unknown metadata of
    /// objects within. Answers the paths of the unknown fields, sorted: `spec.odd`, `spec.list[0].x`.
    ///
    /// `apiVersion`, `kind` and `metadata` of the object itself stay as they are.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut dropped = prune::prune(object, &self.root, true);
        prune::prune_nulls(object, &self.root);
        dropped.extend(embedded::prune(object, &self.root));
        dropped
    }

    /// Puts defaults where a field is absent, or is null and may not be.
    pub fn default(&self, object: &mut Value) {
        fill::fill(object, &self.root);
    }

    /// What is wrong with a new object, or with a changed one beside the one it replaces; empty: nothing.
    ///
    /// What is wrong but was there before is let be where it can be found in the old object again (upstream:
    /// validation ratcheting). `metadata` is judged only as far as the schema names it.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<StatusCause> {
        self.errors(new, old).iter().map(FieldError::cause).collect()
    }

    /// As [`Self::validate`], before it becomes part of an answer.
    pub fn errors(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = check::check(&self.root, new, old, &Place::Root("")).errors;
        errors.extend(embedded::check(new, &self.root));
        if old.is_none_or(|old| lists::check(&self.root, old).is_empty()) {
            errors.extend(lists::check(&self.root, new));
        }
        if !self.root.ruled {
            return errors;
        }
        if errors.iter().any(blocks_rules) {
            errors.push(unchecked_rules());
        } else if let Some(rules) = self.rules.get_or_init(|| rules::Rules::new(&self.root).map(Arc::new)) {
            errors.extend(rules.check(&self.root, new, old));
        }
        errors
    }
}

/// What is wrong with a default that stands at a field of a definition: it is a value of its schema, and complete.
pub fn default_errors(props: &JsonSchemaProps, value: &Value, field: &str) -> Vec<FieldError> {
    let node = Node::new(props, 0);
    let mut pruned = value.clone();
    if !prune::prune(&mut pruned, &node, node.embedded).is_empty() {
        let (field, value) = (field.to_owned(), show::show(value));
        return vec![FieldError {
            reason: Reason::Invalid,
            field,
            value,
            detail: "must not have unknown fields".to_owned(),
        }];
    }
    check::check(&node, value, None, &Place::Root(field)).errors
}

/// True for a format of texts that values are checked for; others say nothing.
pub fn knows_format(format: &str) -> bool {
    format::known(node::Kind::String, format)
}

/// True for errors after which rules in CEL are not evaluated: the value is not what they were written for.
fn blocks_rules(error: &FieldError) -> bool {
    use Reason::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(error.reason, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

/// What stands in for the rules that were not evaluated.
fn unchecked_rules() -> FieldError {
    FieldError {
        reason: Reason::Invalid,
        field: Place::Root("").field(),
        value: "null".to_owned(),
        detail: "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation".to_owned(),
    }
}
