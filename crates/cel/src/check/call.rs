//! Calls: which forms of a function take these arguments, and what they give.

use super::Checker;
use super::unify::Unify;
use crate::ast::{Call, Expr, Literal, Node};
use crate::library::{regex, time};
use crate::types::Type;

impl Checker<'_> {
    #[inline(never)]
    pub(super) fn call(&mut self, call: &Call, expr: &Expr) -> Type {
        let args: Vec<Type> = call.args.iter().map(|arg| self.expr(arg)).collect();
        let Some(function) = call.function else { return self.undeclared(expr.at, &call.name) };
        if &*call.name == "_?._" {
            return self.optional_field(call, &args, expr);
        }
        self.literals(call);
        let mut matches = Vec::new();
        let mut result: Option<Type> = None;
        for overload in function.candidates(call.member, args.len()) {
            let mark = self.unify.mark();
            let base: Vec<Type> = (0..overload.variables).map(|_| self.unify.fresh()).collect();
            let fits = overload
                .args
                .iter()
                .zip(&args)
                .all(|(wanted, found)| self.unify.assign(&Unify::renamed(wanted, &base), found));
            if !fits {
                self.unify.undo(mark);
                continue;
            }
            matches.push(overload);
            let given = Unify::renamed(&overload.result, &base);
            result = Some(match result {
                None => given,
                Some(before) if before.is_dyn() => before,
                Some(before) if self.unify.known(&before) == self.unify.known(&given) => before,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(result) => {
                self.calls.insert(expr.id, matches);
                result
            }
            None => {
                let shown: Vec<String> = args.iter().map(|arg| self.unify.known(arg).to_string()).collect();
                let applied = match shown.split_first() {
                    Some((target, rest)) if call.member => format!("{target}.({})", rest.join(", ")),
                    _ => format!("({})", shown.join(", ")),
                };
                let name = &call.name;
                self.wrong(expr.at, format!("found no matching overload for '{name}' applied to '{applied}'"))
            }
        }
    }

    /// `value.?field`.
    fn optional_field(&mut self, call: &Call, args: &[Type], expr: &Expr) -> Type {
        let (Some(operand), Some(name)) = (args.first(), call.args.get(1)) else { return Type::Error };
        if let Some(function) = call.function {
            self.calls.insert(expr.id, function.overloads.iter().collect());
        }
        let Node::Literal(Literal::String(name)) = &name.node else { return Type::Error };
        match self.field(operand, name, expr.at) {
            optional @ Type::Optional(_) => optional,
            plain => Type::optional(plain),
        }
    }

    /// Texts that are written out where a time, a duration or a pattern is read from them.
    fn literals(&mut self, call: &Call) {
        let last = call.args.last().map(|arg| (arg, &arg.node));
        let Some((arg, Node::Literal(Literal::String(text)))) = last else { return };
        let fits = match (&*call.name, call.args.len()) {
            ("duration", 1) => time::duration(text).is_some(),
            ("timestamp", 1) => time::timestamp(text).is_some(),
            ("matches", 2) => regex::read(text).is_ok(),
            _ => true,
        };
        if !fits {
            self.wrong(arg.at, format!("invalid {} argument", call.name));
        }
    }
}
