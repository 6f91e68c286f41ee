//! The rules of a schema, when its definition is written: whether they can be compiled, what they may name, and what they may cost.
//!
//! A rule costs what its expression may cost at most, times how often it may be evaluated for one object. Both come from
//! the bounds that the schema gives, or from the largest request.

use std::sync::Arc;

use cel::cost::{ESTIMATED_LIMIT, ESTIMATED_TOTAL_LIMIT, REQUEST_BYTES_MAX};
use cel::{Decl, Program, Type};
use proto::apiextensions::v1::{JsonSchemaProps, ValidationRule};

use crate::structural::node::{Additional, Kind, Merge, Node};
use crate::structural::rules::{declared, environment, leads_somewhere};
use crate::validate::check::Errors;
use crate::validate::error::Json;
use crate::validate::{FieldError, Path};

/// Expressions that are named where all together cost too much: those with a hundredth of the limit, four at most.
const BLAMED_MAX: usize = 4;

/// Where a rule stands.
#[derive(Clone)]
struct Place {
    /// How many values there may be at this place in one object; none: nothing bounds them.
    count: Option<u64>,
    /// The place above whose parts cannot be found again in an older object, if there is one.
    uncorrelated: Option<String>,
}

/// What all rules may cost.
#[derive(Default)]
struct Total {
    cost: u64,
    /// Expressions and their costs, the dearest first.
    dearest: Vec<(String, u64)>,
}

impl Total {
    fn add(&mut self, path: Path<'_>, cost: u64) {
        self.cost = self.cost.saturating_add(cost);
        if cost >= ESTIMATED_TOTAL_LIMIT / 100 {
            self.dearest.push((path.to_string(), cost));
            self.dearest.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            self.dearest.truncate(BLAMED_MAX);
        }
    }
}

/// Judges the rules of a schema that is structural.
pub fn check(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps) {
    let node = Node::new(schema, 0);
    if !node.ruled {
        return;
    }
    let mut total = Total::default();
    at(errors, path, schema, &node, &Place { count: Some(1), uncorrelated: None }, &mut total, true);
    if total.cost > ESTIMATED_TOTAL_LIMIT {
        for (field, _) in &total.dearest {
            let why = "contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.push(FieldError::forbidden(field, why));
        }
        let what = "x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(path, too_dear(what, total.cost, ESTIMATED_TOTAL_LIMIT)));
    }
}

fn at(
    errors: &mut Errors,
    path: Path<'_>,
    schema: &JsonSchemaProps,
    node: &Node,
    place: &Place,
    total: &mut Total,
    root: bool,
) {
    if !node.ruled {
        return;
    }
    if !schema.x_kubernetes_validations.is_empty()
        && let Some(decl) = declared(node, root || node.embedded)
    {
        let here = path.child("x-kubernetes-validations");
        for (index, rule) in schema.x_kubernetes_validations.iter().enumerate() {
            self::rule(errors, here.index(index), rule, node, &decl, place, total);
        }
    }
    let mut inner = place.clone();
    if node.merge == Merge::Atomic && node.kind == Kind::Object {
        inner.uncorrelated.get_or_insert_with(|| path.to_string());
    }
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        if let Some(below) = node.property(name) {
            at(errors, properties.key(name), property, below, &inner, total, false);
        }
    }
    let bounded = |bound: Option<i64>| {
        let bound = bound.map(|bound| u64::try_from(bound).unwrap_or(0));
        place.count.zip(bound).map(|(count, bound)| count.saturating_mul(bound))
    };
    if let (Some(values), Additional::Of(below)) =
        (schema.additional_properties.as_ref().and_then(|found| found.schema.as_ref()), &node.additional)
    {
        let inner = Place { count: bounded(schema.max_properties), ..inner.clone() };
        at(errors, path.child("additionalProperties"), values, below, &inner, total, false);
    }
    if let (Some(items), Some(below)) =
        (schema.items.as_ref().and_then(|items| items.schema.as_ref()), node.items.as_deref())
    {
        let mut inner = Place { count: bounded(schema.max_items), ..inner };
        if node.merge != Merge::Keyed {
            inner.uncorrelated.get_or_insert_with(|| path.to_string());
        }
        at(errors, path.child("items"), items, below, &inner, total, false);
    }
}

fn rule(
    errors: &mut Errors,
    path: Path<'_>,
    rule: &ValidationRule,
    node: &Node,
    decl: &Arc<Decl>,
    place: &Place,
    total: &mut Total,
) {
    let env = environment(decl, rule.optional_old_self == Some(true));
    let times = place.count.unwrap_or(REQUEST_BYTES_MAX / (decl.min_bytes + 1));
    let at = path.child("rule");
    match Program::estimated(&env, &rule.rule) {
        Err(issues) => errors.push(FieldError::invalid(at, Json(rule), format!("compilation failed: {issues}"))),
        Ok((program, _)) if *program.output() != Type::Bool => {
            errors.push(FieldError::invalid(at, Json(rule), "cel expression must evaluate to a bool"));
        }
        Ok((program, cost)) => {
            let cost = cost.saturating_mul(times);
            if cost > ESTIMATED_LIMIT {
                let why = too_dear("estimated rule cost", cost, ESTIMATED_LIMIT);
                errors.push(FieldError::forbidden(at, why));
            }
            total.add(at, cost);
            message(errors, path, rule, &env, total);
            old_self(errors, path, rule, &program, place);
        }
    }
    if !rule.field_path.is_empty() && !leads_somewhere(node, &rule.field_path) {
        let why = "fieldPath must be a valid path";
        errors.push(FieldError::invalid(path.child("fieldPath"), &rule.field_path, why));
    }
}

fn message(errors: &mut Errors, path: Path<'_>, rule: &ValidationRule, env: &cel::Env, total: &mut Total) {
    if rule.message_expression.trim().is_empty() {
        return;
    }
    let at = path.child("messageExpression");
    match Program::estimated(env, &rule.message_expression) {
        Err(issues) => {
            let why = format!("messageExpression compilation failed: {issues}");
            errors.push(FieldError::invalid(at, Json(rule), why));
        }
        Ok((program, _)) if *program.output() != Type::String => {
            errors.push(FieldError::invalid(at, Json(rule), "messageExpression must evaluate to a string"));
        }
        Ok((_, cost)) => {
            if cost > ESTIMATED_LIMIT {
                let why = too_dear("estimated messageExpression cost", cost, ESTIMATED_LIMIT);
                errors.push(FieldError::forbidden(at, why));
            }
            total.add(at, cost);
        }
    }
}

/// A rule about changes stands where the old value can be found again.
fn old_self(errors: &mut Errors, path: Path<'_>, rule: &ValidationRule, program: &Program, place: &Place) {
    if !program.names("oldSelf") {
        if let Some(given) = rule.optional_old_self {
            let why = "may not be set if oldSelf is not used in rule";
            errors.push(FieldError::invalid(path.child("optionalOldSelf"), given, why));
        }
        return;
    }
    if let Some(above) = &place.uncorrelated {
        let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
        errors.push(FieldError::invalid(path.child("rule"), &rule.rule, why));
    }
}

/// By how much a limit is exceeded, as upstream words it.
fn too_dear(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        // A factor of 1.0 would not look like too much.
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}
