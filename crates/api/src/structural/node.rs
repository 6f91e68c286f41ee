//! A schema as it is kept: one small record for each place of an object, made from what a definition says.
//!
//! Nothing here is shared or computed ahead of use: a thousand definitions that nobody uses hold only this. Texts
//! for people (titles, descriptions, examples) stay in the definition.

use std::sync::OnceLock;

use proto::apiextensions::v1::{Json, JsonSchemaProps, ValidationRule};
use serde_json::Value;

use super::pattern::Pattern;

/// Schemas within schemas beyond which nothing is read. Definitions so deep are refused; this guards the stack.
pub const DEPTH_MAX: usize = 64;

/// The type that a schema names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// None is named.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    fn of(word: &str) -> Self {
        match word {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => Self::Any,
        }
    }

    /// The word in a schema; empty for [`Kind::Any`].
    pub fn word(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// How a list or a map is merged (`x-kubernetes-list-type`, `x-kubernetes-map-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Merge {
    /// Nothing is said: lists are one value, maps are merged.
    #[default]
    Unsaid,
    Atomic,
    /// A list whose items are values that occur once.
    Set,
    /// A list whose items are told apart by [`Node::keys`].
    Keyed,
    Granular,
}

/// What fields an object may have beside the named ones.
#[derive(Debug, Clone, Default)]
pub enum Additional {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// Any, of any form.
    Any,
    /// None.
    Nothing,
    /// Any, of this form.
    Of(Box<Node>),
}

/// A condition in CEL (`x-kubernetes-validations`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub rule: Box<str>,
    /// What is said where it does not hold; empty: see the expression.
    pub message: Box<str>,
    /// An expression that makes the message; empty: none.
    pub message_expression: Box<str>,
    /// The reason of the cause; `None` means FieldValueInvalid.
    pub reason: Option<Box<str>>,
    /// The field that is at fault, relative to where the rule stands: `.n`; empty: that place itself.
    pub field_path: Box<str>,
    /// True where the rule is evaluated though there is no old value.
    pub optional_old_self: bool,
}

/// The conditions on a value that a schema may name.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    pub allowed: Box<[Value]>,
    pub required: Box<[Box<str>]>,
    pub format: Box<str>,
    pub pattern: Option<Pattern>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<i64>,
    pub max_length: Option<i64>,
    pub min_items: Option<i64>,
    pub max_items: Option<i64>,
    pub min_properties: Option<i64>,
    pub max_properties: Option<i64>,
    pub unique_items: bool,
    pub all_of: Box<[Node]>,
    pub any_of: Box<[Node]>,
    pub one_of: Box<[Node]>,
    pub not: Option<Box<Node>>,
}

/// The schema of one place of an object.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub kind: Kind,
    pub merge: Merge,
    pub nullable: bool,
    /// Fields that the schema does not name are kept.
    pub preserve: bool,
    /// The value is a Kubernetes object: it has apiVersion, kind and metadata though the schema does not name them.
    pub embedded: bool,
    pub int_or_string: bool,
    /// True where this or a node below has rules in CEL.
    pub ruled: bool,
    /// By name, sorted.
    pub properties: Box<[(Box<str>, Node)]>,
    pub additional: Additional,
    pub items: Option<Box<Node>>,
    /// The names of the fields that tell a list's items apart.
    pub keys: Box<[Box<str>]>,
    pub default: Option<Box<Value>>,
    pub checks: Option<Box<Checks>>,
    pub rules: Box<[Rule]>,
}

impl Node {
    /// What a definition says of one place.
    pub fn new(props: &JsonSchemaProps, depth: usize) -> Self {
        if depth > DEPTH_MAX {
            return Self { preserve: true, ..Self::default() };
        }
        let merge = match (props.x_kubernetes_list_type.as_deref(), props.x_kubernetes_map_type.as_deref()) {
            (Some("atomic"), _) | (_, Some("atomic")) => Merge::Atomic,
            (Some("set"), _) => Merge::Set,
            (Some("map"), _) => Merge::Keyed,
            (_, Some("granular")) => Merge::Granular,
            _ => Merge::Unsaid,
        };
        let mut node = Self {
            kind: Kind::of(&props.r#type),
            merge,
            nullable: props.nullable,
            preserve: props.x_kubernetes_preserve_unknown_fields == Some(true),
            embedded: props.x_kubernetes_embedded_resource,
            int_or_string: props.x_kubernetes_int_or_string,
            ruled: false,
            properties: props
                .properties
                .iter()
                .map(|(name, property)| (name.as_str().into(), Self::new(property, depth + 1)))
                .collect(),
            additional: additional(props, depth),
            items: items(props, depth),
            keys: words(&props.x_kubernetes_list_map_keys),
            // A default of null says nothing.
            default: props.default.as_ref().and_then(read).filter(|value| !value.is_null()).map(Box::new),
            checks: checks(props, depth).map(Box::new),
            rules: props.x_kubernetes_validations.iter().map(rule).collect(),
        };
        node.ruled = !node.rules.is_empty() || node.children().any(|child| child.ruled);
        node
    }

    /// The schema of a named field.
    pub fn property(&self, name: &str) -> Option<&Self> {
        let at = self.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// The schema of a field, named or not; `None` where nothing is known of it.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.property(name).or(match &self.additional {
            Additional::Of(node) => Some(node),
            _ => None,
        })
    }

    /// The schemas of the places below this one; what logic says of this place is not among them.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let additional = match &self.additional {
            Additional::Of(node) => Some(&**node),
            _ => None,
        };
        self.properties.iter().map(|(_, node)| node).chain(additional).chain(self.items.as_deref())
    }

    /// Calls the function for this node and all below it, with the default of each.
    pub fn defaults_mut(&mut self, change: &dyn Fn(&mut Value, &Self)) {
        for (_, node) in &mut self.properties {
            node.defaults_mut(change);
        }
        if let Additional::Of(node) = &mut self.additional {
            node.defaults_mut(change);
        }
        if let Some(node) = &mut self.items {
            node.defaults_mut(change);
        }
        if let Some(mut default) = self.default.take() {
            change(&mut default, self);
            self.default = Some(default);
        }
    }
}

fn words(list: &[String]) -> Box<[Box<str>]> {
    list.iter().map(|word| word.as_str().into()).collect()
}

fn read(json: &Json) -> Option<Value> {
    serde_json::from_slice(&json.raw).ok()
}

fn additional(props: &JsonSchemaProps, depth: usize) -> Additional {
    match &props.additional_properties {
        None => Additional::Unsaid,
        Some(found) => match &found.schema {
            Some(schema) => Additional::Of(Box::new(Node::new(schema, depth + 1))),
            None if found.allows => Additional::Any,
            None => Additional::Nothing,
        },
    }
}

fn items(props: &JsonSchemaProps, depth: usize) -> Option<Box<Node>> {
    let schema = props.items.as_ref()?.schema.as_ref()?;
    Some(Box::new(Node::new(schema, depth + 1)))
}

fn rule(rule: &ValidationRule) -> Rule {
    Rule {
        rule: rule.rule.as_str().into(),
        message: rule.message.as_str().into(),
        message_expression: rule.message_expression.as_str().into(),
        reason: rule.reason.as_deref().map(Into::into),
        field_path: rule.field_path.as_str().into(),
        optional_old_self: rule.optional_old_self == Some(true),
    }
}

/// `None` where the schema names no condition.
fn checks(props: &JsonSchemaProps, depth: usize) -> Option<Checks> {
    let nodes = |list: &[JsonSchemaProps]| list.iter().map(|one| Node::new(one, depth + 1)).collect();
    let given = !props.r#enum.is_empty()
        || !props.required.is_empty()
        || !props.format.is_empty()
        || !props.pattern.is_empty()
        || props.minimum.is_some()
        || props.maximum.is_some()
        || props.multiple_of.is_some()
        || props.min_length.is_some()
        || props.max_length.is_some()
        || props.min_items.is_some()
        || props.max_items.is_some()
        || props.min_properties.is_some()
        || props.max_properties.is_some()
        || props.unique_items
        || !props.all_of.is_empty()
        || !props.any_of.is_empty()
        || !props.one_of.is_empty()
        || props.not.is_some();
    given.then(|| Checks {
        allowed: props.r#enum.iter().filter_map(read).collect(),
        required: words(&props.required),
        format: props.format.as_str().into(),
        pattern: (!props.pattern.is_empty())
            .then(|| Pattern { text: props.pattern.as_str().into(), compiled: OnceLock::new() }),
        minimum: props.minimum,
        maximum: props.maximum,
        exclusive_minimum: props.exclusive_minimum,
        exclusive_maximum: props.exclusive_maximum,
        multiple_of: props.multiple_of,
        min_length: props.min_length,
        max_length: props.max_length,
        min_items: props.min_items,
        max_items: props.max_items,
        min_properties: props.min_properties,
        max_properties: props.max_properties,
        unique_items: props.unique_items,
        all_of: nodes(&props.all_of),
        any_of: nodes(&props.any_of),
        one_of: nodes(&props.one_of),
        not: props.not.as_ref().map(|inner| Box::new(Node::new(inner, depth + 1))),
    })
}
