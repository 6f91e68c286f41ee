//! Conditions in CEL on objects (`x-kubernetes-validations`): compiled when the first object is judged, and kept.
//!
//! Upstream's rules: a rule that names `oldSelf` is evaluated only where there is an old value, unless it says that it takes
//! an optional one; one that fails on a value that did not change is let be; all rules about one object share a budget.

mod declare;
mod field_path;
mod refuse;

use std::sync::Arc;

use cel::{Decl, Env, Program, Scope, Type, cost};
use serde_json::Value;

use super::correlate;
use super::node::{Additional, Node, Rule};
use super::place::Place;
use crate::validate::FieldError;

pub use declare::declared;
pub use field_path::leads_somewhere;
use refuse::{out_of_budget, refusal, trouble};

/// The most bytes of a message that an expression makes.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// The rules of a schema, ready to be evaluated.
#[derive(Debug)]
pub struct Rules {
    decl: Arc<Decl>,
    here: Vec<Ready>,
    properties: Vec<(Box<str>, Rules)>,
    values: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
}

/// A rule, ready.
#[derive(Debug)]
struct Ready {
    rule: Rule,
    program: Result<Program, String>,
    message: Option<Program>,
    names_old: bool,
}

/// What the expressions of a rule may name.
pub fn environment(decl: &Arc<Decl>, optional_old: bool) -> Env {
    let env = Env::new().declared("self", decl.clone());
    match optional_old {
        true => env.with("oldSelf", Type::optional(decl.ty.clone())),
        false => env.declared("oldSelf", decl.clone()),
    }
}

impl Rules {
    /// Compiles the rules of a schema; none where there are none, or nothing can be known of its values.
    pub fn new(root: &Node) -> Option<Self> {
        let decl = declared(root, true)?;
        Self::at(root, &decl)
    }

    fn at(node: &Node, decl: &Arc<Decl>) -> Option<Self> {
        if !node.ruled {
            return None;
        }
        let mut rules = Self {
            decl: decl.clone(),
            here: node.rules.iter().map(|rule| Ready::new(rule, decl)).collect(),
            properties: Vec::new(),
            values: None,
            items: None,
        };
        for (name, property) in node.properties.iter().filter(|(_, property)| property.ruled) {
            let inner = declared(property, property.embedded).and_then(|decl| Self::at(property, &decl));
            rules.properties.extend(inner.map(|inner| (name.clone(), inner)));
        }
        let below = |node: &Node| {
            let decl = declared(node, node.embedded)?;
            Self::at(node, &decl).map(Box::new)
        };
        if let Additional::Of(values) = &node.additional {
            rules.values = below(values);
        }
        rules.items = node.items.as_deref().and_then(below);
        Some(rules)
    }

    /// What the rules refuse of a new object, or of a changed one beside the one it replaces.
    pub fn check(&self, node: &Node, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut check = Check { budget: cost::RUNTIME_BUDGET, spent: false, errors: Vec::new() };
        check.value(self, &Seen { node, new, old, same: false }, &Place::Root(""));
        check.errors
    }
}

impl Ready {
    fn new(rule: &Rule, decl: &Arc<Decl>) -> Self {
        let env = environment(decl, rule.optional_old_self);
        let program = Program::compile(&env, &rule.rule).map_err(|issues| format!("compilation failed: {issues}"));
        let message = (!rule.message_expression.trim().is_empty())
            .then(|| Program::compile(&env, &rule.message_expression).ok())
            .flatten();
        let names_old = program.as_ref().is_ok_and(|program| program.names("oldSelf"));
        Self { rule: rule.clone(), program, message, names_old }
    }
}

struct Check {
    budget: u64,
    /// The budget is used up: nothing more is evaluated.
    spent: bool,
    errors: Vec<FieldError>,
}

/// A value that is judged.
struct Seen<'a> {
    node: &'a Node,
    new: &'a Value,
    /// What it was, where it can be found again.
    old: Option<&'a Value>,
    /// It is as it was, or what it is part of is.
    same: bool,
}

impl<'a> Seen<'a> {
    fn part(&self, node: &'a Node, new: &'a Value, old: Option<&'a Value>) -> Self {
        Self { node, new, old, same: self.same }
    }
}

impl Check {
    fn value(&mut self, rules: &Rules, seen: &Seen<'_>, place: &Place<'_>) {
        if seen.new.is_null() {
            return;
        }
        let old = seen.old.filter(|old| !old.is_null());
        let seen = &Seen { old, same: seen.same || old == Some(seen.new), ..*seen };
        for ready in &rules.here {
            if self.spent {
                return;
            }
            self.rule(rules, ready, seen, place);
        }
        match seen.new {
            Value::Object(fields) => self.fields(rules, seen, fields, place),
            Value::Array(items) => {
                let (Some(inner), Some(node)) = (&rules.items, &seen.node.items) else { return };
                let before = correlate::items(seen.node, old);
                for (index, item) in items.iter().enumerate() {
                    let part = seen.part(node, item, before.get(index, item));
                    self.value(inner, &part, &Place::Item(place, index));
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, rules: &Rules, seen: &Seen<'_>, fields: &serde_json::Map<String, Value>, place: &Place<'_>) {
        let before = correlate::fields(seen.node, seen.old);
        let was = |name: &str| before.and_then(|before| before.get(name));
        for (name, inner) in &rules.properties {
            if let (Some(value), Some(property)) = (fields.get(&**name), seen.node.property(name)) {
                self.value(inner, &seen.part(property, value, was(name)), &Place::Field(place, name));
            }
        }
        if let (Some(inner), Additional::Of(values)) = (&rules.values, &seen.node.additional) {
            for (name, value) in fields {
                self.value(inner, &seen.part(values, value, was(name)), &Place::Entry(place, name));
            }
        }
    }

    fn rule(&mut self, rules: &Rules, ready: &Ready, seen: &Seen<'_>, place: &Place<'_>) {
        let (rule, new) = (&ready.rule, seen.new);
        if ready.names_old && seen.old.is_none() && !rule.optional_old_self {
            return;
        }
        let program = match &ready.program {
            Ok(program) => program,
            Err(why) => {
                self.errors.push(trouble(place, new, format!("rule compile error: {why}")));
                return;
            }
        };
        if self.budget == 0 {
            self.spent = true;
            self.errors.push(out_of_budget(place, new));
            return;
        }
        let scope = scope(rules, ready, new, seen.old);
        let found = program.evaluate(&scope, self.budget.min(cost::PER_CALL_LIMIT));
        let short = found.cost > self.budget;
        self.budget = self.budget.saturating_sub(found.cost);
        match found.value.map(|value| value.as_bool()) {
            Ok(Some(true)) => {}
            Ok(Some(false)) => {
                let message = self.message(ready, &scope);
                // What is as it was is not refused again; rules about changes have seen both.
                if ready.names_old || !seen.same {
                    self.errors.push(refusal(rule, message, seen.node, new, place));
                }
            }
            Ok(None) => self.errors.push(trouble(place, new, "cel expression must evaluate to a bool".to_owned())),
            Err(cel::Error::CostLimit) => {
                self.spent = true;
                self.errors.push(if short {
                    out_of_budget(place, new)
                } else {
                    trouble(place, new, refuse::limit(rule))
                });
            }
            Err(error) => self.errors.push(trouble(place, new, refuse::failed(rule, &error))),
        }
    }

    /// What the rule's expression says of the refusal, where it says something that can be shown.
    fn message<'a>(&mut self, ready: &'a Ready, scope: &Scope<'a>) -> Option<String> {
        let program = ready.message.as_ref()?;
        let found = program.evaluate(scope, self.budget.min(cost::PER_CALL_LIMIT));
        self.budget = self.budget.saturating_sub(found.cost);
        let value = found.value.ok()?;
        let text = value.as_text()?.trim();
        let fits = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains(['\n', '\r']);
        fits.then(|| text.to_owned())
    }
}

fn scope<'a>(rules: &'a Rules, ready: &Ready, new: &'a Value, old: Option<&'a Value>) -> Scope<'a> {
    let scope = Scope::new().with("self", cel::of_json(new, Some(&rules.decl)));
    let old = old.map(|old| cel::of_json(old, Some(&rules.decl)));
    match (ready.rule.optional_old_self, old) {
        (true, Some(old)) => scope.with("oldSelf", cel::Value::some(old)),
        (true, None) => scope.with("oldSelf", cel::Value::Optional(None)),
        (false, Some(old)) => scope.with("oldSelf", old),
        (false, None) => scope,
    }
}

#[cfg(test)]
mod tests;
