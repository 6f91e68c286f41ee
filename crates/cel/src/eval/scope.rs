//! The values that an expression is about, and variables that are expressions themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Outcome, evaluate};
use crate::error::Error;
use crate::program::Program;
use crate::value::Value;

/// Variables and their values.
#[derive(Clone, Default)]
pub struct Scope<'a> {
    values: Vec<(&'a str, Value<'a>)>,
    variables: Option<Variables<'a>>,
}

impl<'a> Scope<'a> {
    pub fn new() -> Self {
        Self::default()
    }

    /// The scope with one more variable.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: Value<'a>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable, anew where it was set before.
    pub fn set(&mut self, name: &'a str, value: Value<'a>) {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, value));
    }

    /// The scope with a policy's variables, as `variables`.
    #[must_use]
    pub fn with_variables(mut self, variables: Variables<'a>) -> Self {
        self.variables = Some(variables);
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A variable whose name has a dot in it.
    pub(crate) fn dotted(&self, root: &str, field: &str) -> Option<&Value<'a>> {
        let found = self.values.iter().find(|(known, _)| known.split_once('.') == Some((root, field)));
        found.map(|(_, value)| value)
    }

    pub(crate) fn variables(&self) -> Option<&Variables<'a>> {
        self.variables.as_ref()
    }
}

/// Variables that are expressions: each is evaluated when it is first asked for, and once.
///
/// An expression sees the variables before it only, so that none asks for itself.
#[derive(Clone)]
pub struct Variables<'a> {
    all: Arc<All<'a>>,
    /// How many of them are seen.
    seen: usize,
}

struct All<'a> {
    named: Vec<Named<'a>>,
    scope: Scope<'a>,
    limit: u64,
    cost: AtomicU64,
}

struct Named<'a> {
    name: &'a str,
    program: &'a Program,
    value: OnceLock<Outcome<'a>>,
}

impl<'a> Variables<'a> {
    /// Variables in the order in which they may name each other; each may cost `limit`.
    pub fn new(scope: Scope<'a>, programs: impl IntoIterator<Item = (&'a str, &'a Program)>, limit: u64) -> Self {
        let named: Vec<_> =
            programs.into_iter().map(|(name, program)| Named { name, program, value: OnceLock::new() }).collect();
        let seen = named.len();
        Self { all: Arc::new(All { named, scope, limit, cost: AtomicU64::new(0) }), seen }
    }

    /// What the evaluation of variables has cost so far.
    pub fn cost(&self) -> u64 {
        self.all.cost.load(Ordering::Relaxed)
    }

    fn find(&self, name: &str) -> Option<usize> {
        // Of two with one name, the last one counts.
        self.all.named[..self.seen].iter().rposition(|named| named.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn get(&self, name: &str) -> Outcome<'a> {
        let at = self.find(name).ok_or_else(|| Error::no_such_key(name))?;
        let named = &self.all.named[at];
        let evaluated = named.value.get_or_init(|| {
            let before = Self { all: self.all.clone(), seen: at };
            let scope = self.all.scope.clone().with_variables(before);
            let found = evaluate(named.program, &scope, self.all.limit);
            self.all.cost.fetch_add(found.cost, Ordering::Relaxed);
            found.value
        });
        match evaluated {
            Err(error) if *error != Error::CostLimit => {
                Err(Error::new(format!("composited variable \"{name}\" fails to evaluate: {error}")))
            }
            other => other.clone(),
        }
    }
}
