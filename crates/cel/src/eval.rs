//! Evaluation: what an expression comes to for the values of its variables, and what that costs.
//!
//! The tree is walked; its depth is bounded, so the stack is. Costs are counted as upstream counts them, and nothing
//! goes on once they exceed the limit, so that time and memory are bounded too.

mod call;
mod fold;
mod scope;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regex::Regex;

use crate::ast::{Element, Entry, Expr, Literal, Node, Select, Struct};
use crate::cost;
use crate::error::Error;
use crate::program::Program;
use crate::value::{Key, Map, Text, Value, Work};

pub use scope::{Scope, Variables};

/// What an evaluation came to.
#[derive(Debug, Clone)]
pub struct Evaluation<'a> {
    pub value: Result<Value<'a>, Error>,
    /// What it cost, also where it failed.
    pub cost: u64,
}

pub(crate) type Outcome<'a> = Result<Value<'a>, Error>;

/// A name that a macro bound, and its value; a walk carries failures along.
struct Frame<'a> {
    name: &'a Arc<str>,
    value: Outcome<'a>,
}

/// One evaluation on its way.
pub struct Vm<'a, 'e> {
    program: &'a Program,
    scope: &'e Scope<'a>,
    frames: Vec<Frame<'a>>,
    cost: u64,
    limit: u64,
    /// What was copied, in items and bytes.
    work: Work,
    /// Patterns that are no literals.
    patterns: HashMap<String, Regex>,
}

/// Patterns that an evaluation keeps.
const PATTERNS_MAX: usize = 64;
/// The longest list that an expression may make by joining, and the longest text, in bytes.
const ITEMS_MAX: usize = 1 << 20;
const BYTES_MAX: usize = 16 << 20;

/// Evaluates a program; it may cost `limit` at most.
pub(crate) fn evaluate<'a>(program: &'a Program, scope: &Scope<'a>, limit: u64) -> Evaluation<'a> {
    let mut vm =
        Vm { program, scope, frames: Vec::new(), cost: 0, limit, work: Work::default(), patterns: HashMap::new() };
    let value = vm.eval(program.expr());
    Evaluation { value, cost: vm.cost }
}

impl<'a> Vm<'a, '_> {
    /// Counts what something cost.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Error::CostLimit) } else { Ok(()) }
    }

    /// Counts a list that is about to be copied.
    pub(crate) fn copies(&mut self, items: usize) -> Result<(), Error> {
        if items > ITEMS_MAX {
            return Err(Error::TOO_LARGE);
        }
        self.work.step(items as u64)
    }

    /// Counts a text that is about to be made.
    pub(crate) fn makes(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes > BYTES_MAX {
            return Err(Error::TOO_LARGE);
        }
        self.work.step(bytes as u64 / 16)
    }

    /// What comparisons count their steps on.
    pub(crate) fn work(&mut self) -> &mut Work {
        &mut self.work
    }

    /// A pattern, read once.
    pub(crate) fn pattern(&mut self, pattern: &str) -> Result<Regex, Error> {
        if let Some(found) = self.program.pattern(pattern).or_else(|| self.patterns.get(pattern)) {
            return Ok(found.clone());
        }
        let made = crate::library::regex::read(pattern)?;
        if self.patterns.len() < PATTERNS_MAX {
            self.patterns.insert(pattern.to_owned(), made.clone());
        }
        Ok(made)
    }

    fn eval(&mut self, expr: &'a Expr) -> Outcome<'a> {
        match &expr.node {
            Node::Literal(literal) => Ok(value_of(literal)),
            Node::Ident(name) => self.ident(name),
            Node::Select(select) => self.select(select),
            Node::Call(call) => self.call(call),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Struct(made) => self.made(made),
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn local(&self, name: &str) -> Option<&Frame<'a>> {
        self.frames.iter().rev().find(|frame| **frame.name == *name)
    }

    fn ident(&mut self, name: &'a Arc<str>) -> Outcome<'a> {
        self.charge(1)?;
        if let Some(frame) = self.local(name) {
            return frame.value.clone();
        }
        if let Some(value) = self.scope.get(name) {
            return Ok(value.clone());
        }
        type_named(name).ok_or_else(|| Error::new(format!("no such attribute(s): {name}")))
    }

    #[inline(never)]
    fn select(&mut self, select: &'a Select) -> Outcome<'a> {
        // The variables of a policy are evaluated when they are first asked for.
        if let Node::Ident(name) = &select.operand.node
            && **name == *"variables"
            && self.local(name).is_none()
            && let Some(variables) = self.scope.variables()
        {
            self.charge(1)?;
            if select.test {
                return Ok(Value::Bool(variables.has(&select.field)));
            }
            self.charge(1)?;
            return variables.get(&select.field);
        }
        if let Node::Ident(name) = &select.operand.node
            && !select.test
            && self.local(name).is_none()
            && let Some(value) = self.scope.dotted(name, &select.field)
        {
            self.charge(1)?;
            return Ok(value.clone());
        }
        if let Some(ty) = self.type_named_by(select) {
            self.charge(1)?;
            return Ok(ty);
        }
        let operand = self.eval(&select.operand)?;
        if select.test {
            return self.has(&operand, &select.field);
        }
        self.charge(1)?;
        field(&operand, &select.field)
    }

    /// A type with a name of several words, such as `google.protobuf.Timestamp`.
    fn type_named_by(&self, select: &Select) -> Option<Value<'a>> {
        let mut root = &select.operand;
        while let Node::Select(inner) = &root.node {
            root = &inner.operand;
        }
        match &root.node {
            Node::Ident(name) if self.local(name).is_none() && self.scope.get(name).is_none() && !select.test => {
                type_named(&format!("{}.{}", select.operand.qualified()?, select.field))
            }
            _ => None,
        }
    }

    fn has(&mut self, operand: &Value<'a>, name: &str) -> Outcome<'a> {
        let key = Key::String(Text::Borrowed(name));
        match operand {
            Value::Map(map) => Ok(Value::Bool(map.get(&key).is_some())),
            Value::Optional(None) => Ok(Value::Bool(false)),
            Value::Optional(Some(value)) => self.has(value, name),
            _ => Err(Error::NoOverload),
        }
    }

    #[inline(never)]
    fn list(&mut self, elements: &'a [Element]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(elements.len());
        for element in elements {
            let value = self.eval(&element.value)?;
            match (element.optional, value) {
                (false, value) => values.push(value),
                (true, Value::Optional(Some(value))) => values.push((*value).clone()),
                (true, Value::Optional(None)) => {}
                (true, _) => return Err(Error::NoOverload),
            }
        }
        self.charge(cost::LIST)?;
        Ok(Value::list(values))
    }

    #[inline(never)]
    fn map(&mut self, entries: &'a [Entry]) -> Outcome<'a> {
        let mut made = BTreeMap::new();
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let key =
                Key::of(&key).ok_or_else(|| Error::new(format!("unsupported key type: {}", &*key.type_name())))?;
            let value = match (entry.optional, self.eval(&entry.value)?) {
                (false, value) => value,
                (true, Value::Optional(Some(value))) => (*value).clone(),
                (true, Value::Optional(None)) => continue,
                (true, _) => return Err(Error::NoOverload),
            };
            if made.contains_key(&key) {
                return Err(Error::new(format!("Failed with repeated key [{key}]")));
            }
            made.insert(key, value);
        }
        self.charge(cost::MAP)?;
        Ok(Value::Map(Map::made(made)))
    }

    #[inline(never)]
    fn made(&mut self, made: &'a Struct) -> Outcome<'a> {
        let mut fields = BTreeMap::new();
        for field in &made.fields {
            let value = match (field.optional, self.eval(&field.value)?) {
                (false, value) => value,
                (true, Value::Optional(Some(value))) => (*value).clone(),
                (true, Value::Optional(None)) => continue,
                (true, _) => return Err(Error::NoOverload),
            };
            fields.insert(Key::String(Text::Shared(crate::escape::unescape(&field.name).into())), value);
        }
        self.charge(cost::STRUCT)?;
        Ok(Value::Map(Map::made_object(made.name.clone(), fields)))
    }
}

/// A field of a value, or the entry of a map.
pub(crate) fn field<'a>(operand: &Value<'a>, name: &str) -> Outcome<'a> {
    match operand {
        Value::Map(map) => map.get(&Key::String(Text::Borrowed(name))).ok_or_else(|| Error::no_such_key(name)),
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(value)) => match &**value {
            Value::Map(map) => Ok(Value::Optional(map.get(&Key::String(Text::Borrowed(name))).map(Arc::new))),
            _ => Err(Error::NoOverload),
        },
        _ => Err(Error::NoOverload),
    }
}

fn value_of(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::String(Text::Borrowed(text)),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

/// The types that expressions may name.
pub(crate) const TYPES: &[&str] = &[
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "optional_type",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "kubernetes.URL",
    "kubernetes.Quantity",
    "kubernetes.Semver",
    "kubernetes.NamedFormat",
    "net.IP",
    "net.CIDR",
];

fn type_named<'a>(name: &str) -> Option<Value<'a>> {
    TYPES.iter().find(|known| **known == name).map(|known| Value::Type(Text::Borrowed(known)))
}
