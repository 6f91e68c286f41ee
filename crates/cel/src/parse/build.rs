//! Makes the parts of a tree, numbered, and none deeper than is allowed.

use std::sync::Arc;

use super::{Features, Outcome, TREE_DEPTH_MAX, TREE_SIZE_MAX, macros};
use crate::ast::{Call, Expr, Field, Node, Select, Struct};
use crate::functions;
use crate::issue::Issue;

#[derive(Debug, Default)]
pub struct Build {
    next: u32,
}

impl Build {
    pub fn make(&mut self, at: u32, node: Node) -> Outcome {
        let mut expr = Expr { id: self.next, at, depth: 0, size: 0, node };
        expr.depth = expr.parts().into_iter().map(|part| part.depth).max().unwrap_or(0) + 1;
        expr.size = expr.parts().into_iter().fold(1, |sum: u32, part| sum.saturating_add(part.size));
        if expr.size > TREE_SIZE_MAX {
            return Err(Issue::new(at, format!("expression size limit exceeded: {TREE_SIZE_MAX}")));
        }
        if expr.depth > TREE_DEPTH_MAX {
            return Err(Issue::new(at, format!("expression recursion limit exceeded: {TREE_DEPTH_MAX}")));
        }
        self.next += 1;
        Ok(expr)
    }

    pub fn ident(&mut self, at: u32, name: &str) -> Outcome {
        self.make(at, Node::Ident(name.into()))
    }

    /// A call of a function or an operator.
    pub fn call(&mut self, at: u32, name: &str, args: Vec<Expr>) -> Outcome {
        let call = Call { name: name.into(), function: functions::find(name), member: false, args };
        self.make(at, Node::Call(Box::new(call)))
    }

    pub fn select(&mut self, at: u32, operand: Expr, field: Arc<str>, test: bool) -> Outcome {
        self.make(at, Node::Select(Box::new(Select { operand, field, test })))
    }

    pub fn message(&mut self, at: u32, name: String, fields: Vec<Field>) -> Outcome {
        self.make(at, Node::Struct(Box::new(Struct { name: name.into(), fields })))
    }

    /// A call without a value before it: a macro, or a function.
    pub fn function(&mut self, _features: Features, at: u32, name: &str, mut args: Vec<Expr>) -> Outcome {
        if name == "has" && args.len() == 1 {
            return macros::has(self, at, args.remove(0));
        }
        self.call(at, name, args)
    }

    /// A call after a dot: a macro, a function whose name has dots, or a function of the value.
    pub fn method(&mut self, features: Features, at: u32, name: &str, target: Expr, args: Vec<Expr>) -> Outcome {
        let (target, args) = match macros::expand(self, features, at, name, target, args)? {
            macros::Expanded::Into(expr) => return Ok(expr),
            macros::Expanded::NoMacro(target, args) => (target, args),
        };
        let qualified = target.qualified().map(|prefix| format!("{prefix}.{name}"));
        if let Some(full) = qualified.filter(|full| functions::find(full).is_some()) {
            return self.call(at, &full, args);
        }
        self.member(at, name, target, args)
    }

    pub fn member(&mut self, at: u32, name: &str, target: Expr, mut args: Vec<Expr>) -> Outcome {
        args.insert(0, target);
        let call = Call { name: name.into(), function: functions::find(name), member: true, args };
        self.make(at, Node::Call(Box::new(call)))
    }

    /// Terms joined by one operator, as a tree that is as low as can be.
    pub fn balanced(&mut self, name: &str, mut terms: Vec<Expr>, signs: &[u32]) -> Outcome {
        if terms.len() == 1 {
            return terms.pop().ok_or_else(|| Issue::new(0, "no expression"));
        }
        let middle = terms.len() / 2;
        let right = terms.split_off(middle);
        let left = self.balanced(name, terms, &signs[..middle - 1])?;
        let right = self.balanced(name, right, &signs[middle..])?;
        self.call(signs[middle - 1], name, vec![left, right])
    }
}
