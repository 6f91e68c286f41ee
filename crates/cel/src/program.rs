//! Expressions made ready: read, checked, and evaluated as often as one likes.

use std::collections::HashMap;

use regex::Regex;

use crate::ast::{Expr, Literal, Node};
use crate::check::{self, Checked};
use crate::env::Env;
use crate::eval::{self, Evaluation, Scope};
use crate::issue::Issues;
use crate::library;
use crate::parse;
use crate::types::Type;

/// An expression that was read and checked.
#[derive(Debug)]
pub struct Program {
    expr: Expr,
    output: Type,
    /// Patterns that the expression writes out.
    patterns: HashMap<String, Regex>,
}

impl Program {
    /// Reads and checks an expression.
    ///
    /// # Errors
    /// What is wrong with it: its grammar, a name that is not there, types that do not go together.
    pub fn compile(env: &Env, source: &str) -> Result<Self, Issues> {
        Self::checked(env, source).map(|(program, _)| program)
    }

    pub(crate) fn checked(env: &Env, source: &str) -> Result<(Self, Checked), Issues> {
        let expr = parse::parse(source, env.features)?;
        let checked = check::check(env, &expr).map_err(|all| Issues { source: source.to_owned(), all })?;
        let output = checked.type_of(&expr).clone();
        let mut patterns = HashMap::new();
        gather(&expr, &mut patterns);
        Ok((Self { expr, output, patterns }, checked))
    }

    /// The type of what it comes to.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// Whether it names a variable.
    pub fn names(&self, variable: &str) -> bool {
        self.expr.names(variable)
    }

    /// What it comes to for these values; it may cost `limit`.
    pub fn evaluate<'a>(&'a self, scope: &Scope<'a>, limit: u64) -> Evaluation<'a> {
        eval::evaluate(self, scope, limit)
    }

    pub(crate) fn expr(&self) -> &Expr {
        &self.expr
    }

    pub(crate) fn pattern(&self, text: &str) -> Option<&Regex> {
        self.patterns.get(text)
    }
}

fn gather(expr: &Expr, patterns: &mut HashMap<String, Regex>) {
    if let Node::Call(call) = &expr.node
        && matches!(&*call.name, "matches" | "find" | "findAll")
        && let Some(Node::Literal(Literal::String(text))) = call.args.get(1).map(|arg| &arg.node)
        && !patterns.contains_key(&**text)
        && let Ok(pattern) = library::regex::read(text)
    {
        patterns.insert(text.to_string(), pattern);
    }
    for part in expr.parts() {
        gather(part, patterns);
    }
}
