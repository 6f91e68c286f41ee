//! Macros written out: walks over lists and maps, and names for values.
//!
//! Their forms are upstream's, part by part, since what an expression costs is counted on them.

use std::sync::Arc;

use super::build::Build;
use super::{Features, Outcome, is_identifier};
use crate::ast::{Element, Expr, Fold, Literal, Node};
use crate::issue::Issue;

/// The name of the value that a walk carries along. No text can hold it.
pub const ACCU: &str = "@result";
/// The name of an element that nobody asks for.
const UNUSED: &str = "#unused";

/// What a call turned out to be.
pub enum Expanded {
    Into(Expr),
    NoMacro(Expr, Vec<Expr>),
}

/// `has(a.b)`.
pub fn has(build: &mut Build, at: u32, arg: Expr) -> Outcome {
    match arg.node {
        Node::Select(select) if !select.test => build.select(at, select.operand, select.field, true),
        _ => Err(Issue::new(arg.at, "invalid argument to has() macro")),
    }
}

/// A call on a value, if it is a macro.
pub fn expand(
    build: &mut Build,
    features: Features,
    at: u32,
    name: &str,
    target: Expr,
    args: Vec<Expr>,
) -> Result<Expanded, Issue> {
    let mut macros = Macro { build, at };
    let made = match (name, args.len()) {
        ("all" | "exists" | "exists_one" | "existsOne" | "filter" | "map" | "optMap" | "optFlatMap" | "sortBy", 2)
        | ("map", 3) => macros.one_name(name, target, args),
        ("all" | "exists" | "exists_one" | "existsOne" | "transformList" | "transformMap" | "transformMapEntry", 3)
        | ("transformList" | "transformMap" | "transformMapEntry", 4) => macros.two_names(name, target, args),
        ("bind", 3) if features.bind && matches!(&target.node, Node::Ident(name) if **name == *"cel") => {
            let mut args = args.into_iter();
            let (Some(name), Some(value), Some(result)) = (args.next(), args.next(), args.next()) else {
                return Err(Issue::new(at, "cel.bind() takes a name, a value and an expression"));
            };
            let name = macros.name(&name)?;
            macros.bind(name, value, result)
        }
        _ => return Ok(Expanded::NoMacro(target, args)),
    };
    made.map(Expanded::Into)
}

struct Macro<'b> {
    build: &'b mut Build,
    at: u32,
}

/// The parts of a walk that differ from macro to macro.
struct Walk {
    init: Expr,
    condition: Expr,
    step: Expr,
    result: Expr,
}

impl Macro<'_> {
    fn name(&self, arg: &Expr) -> Result<Arc<str>, Issue> {
        match &arg.node {
            Node::Ident(name) if is_identifier(name) && **name != *"__result__" => Ok(name.clone()),
            Node::Ident(_) => Err(Issue::new(arg.at, "iteration variable overwrites accumulator variable")),
            _ => Err(Issue::new(arg.at, "argument must be a simple name")),
        }
    }

    fn literal(&mut self, literal: Literal) -> Outcome {
        self.build.make(self.at, Node::Literal(literal))
    }

    fn accu(&mut self) -> Outcome {
        self.build.ident(self.at, ACCU)
    }

    fn call(&mut self, name: &str, args: Vec<Expr>) -> Outcome {
        self.build.call(self.at, name, args)
    }

    fn list(&mut self, values: Vec<Expr>) -> Outcome {
        let elements = values.into_iter().map(|value| Element { value, optional: false }).collect();
        self.build.make(self.at, Node::List(elements))
    }

    fn one_name(&mut self, name: &str, target: Expr, mut args: Vec<Expr>) -> Outcome {
        let variable = self.name(&args[0])?;
        args.remove(0);
        let last = args.pop().ok_or_else(|| Issue::new(self.at, "a macro without an expression"))?;
        let filter = args.pop();
        match name {
            "optMap" | "optFlatMap" => return self.optional(name == "optMap", variable, target, last),
            "sortBy" => return self.sort_by(variable, target, last),
            _ => {}
        }
        let walk = match name {
            "map" => {
                let element = self.list(vec![last])?;
                self.gather(filter, element)?
            }
            "filter" => {
                let element = self.build.ident(self.at, &variable)?;
                let element = self.list(vec![element])?;
                self.gather(Some(last), element)?
            }
            _ => self.quantifier(name, last)?,
        };
        self.walk(target, variable, None, walk)
    }

    fn two_names(&mut self, name: &str, target: Expr, mut args: Vec<Expr>) -> Outcome {
        let (first, second) = (self.name(&args[0])?, self.name(&args[1])?);
        if first == second {
            return Err(Issue::new(args[1].at, format!("duplicate variable name: {second}")));
        }
        args.drain(..2);
        let last = args.pop().ok_or_else(|| Issue::new(self.at, "a macro without an expression"))?;
        let filter = args.pop();
        let walk = match name {
            "transformList" => {
                let element = self.list(vec![last])?;
                self.gather(filter, element)?
            }
            "transformMap" => {
                let key = self.build.ident(self.at, &first)?;
                let accu = self.accu()?;
                let step = self.call("cel.@mapInsert", vec![accu, key, last])?;
                self.insert(filter, step)?
            }
            "transformMapEntry" => {
                let accu = self.accu()?;
                let step = self.call("cel.@mapInsert", vec![accu, last])?;
                self.insert(filter, step)?
            }
            _ => self.quantifier(name, last)?,
        };
        self.walk(target, first, Some(second), walk)
    }

    fn walk(&mut self, range: Expr, first: Arc<str>, second: Option<Arc<str>>, walk: Walk) -> Outcome {
        let Walk { init, condition, step, result } = walk;
        let fold = Fold { range, first, second, accu: ACCU.into(), init, condition, step, result };
        self.build.make(self.at, Node::Fold(Box::new(fold)))
    }

    /// `all`, `exists`, `exists_one`.
    fn quantifier(&mut self, name: &str, predicate: Expr) -> Result<Walk, Issue> {
        let all = name == "all";
        if !all && name != "exists" {
            let (init, condition, accu, one) =
                (self.literal(Literal::Int(0))?, self.literal(Literal::Bool(true))?, self.accu()?, self.accu()?);
            let counted = self.literal(Literal::Int(1))?;
            let more = self.call("_+_", vec![one, counted])?;
            let step = self.call("_?_:_", vec![predicate, more, accu])?;
            let (accu, one) = (self.accu()?, self.literal(Literal::Int(1))?);
            let result = self.call("_==_", vec![accu, one])?;
            return Ok(Walk { init, condition, step, result });
        }
        let init = self.literal(Literal::Bool(all))?;
        let accu = self.accu()?;
        let going = if all { accu } else { self.call("!_", vec![accu])? };
        let condition = self.call("@not_strictly_false", vec![going])?;
        let accu = self.accu()?;
        let step = self.call(if all { "_&&_" } else { "_||_" }, vec![accu, predicate])?;
        Ok(Walk { init, condition, step, result: self.accu()? })
    }

    /// A list that grows by `element` for each that passes the filter.
    fn gather(&mut self, filter: Option<Expr>, element: Expr) -> Result<Walk, Issue> {
        let init = self.list(Vec::new())?;
        let accu = self.accu()?;
        let step = self.call("_+_", vec![accu, element])?;
        self.grown(init, filter, step)
    }

    /// A map that grows by `step` for each that passes the filter.
    fn insert(&mut self, filter: Option<Expr>, step: Expr) -> Result<Walk, Issue> {
        let init = self.build.make(self.at, Node::Map(Vec::new()))?;
        self.grown(init, filter, step)
    }

    fn grown(&mut self, init: Expr, filter: Option<Expr>, mut step: Expr) -> Result<Walk, Issue> {
        let condition = self.literal(Literal::Bool(true))?;
        if let Some(filter) = filter {
            let accu = self.accu()?;
            step = self.call("_?_:_", vec![filter, step, accu])?;
        }
        Ok(Walk { init, condition, step, result: self.accu()? })
    }

    /// A name for a value.
    fn bind(&mut self, name: Arc<str>, value: Expr, result: Expr) -> Outcome {
        let (range, condition) = (self.list(Vec::new())?, self.literal(Literal::Bool(false))?);
        let step = self.build.ident(self.at, &name)?;
        let fold = Fold { range, first: UNUSED.into(), second: None, accu: name, init: value, condition, step, result };
        self.build.make(self.at, Node::Fold(Box::new(fold)))
    }

    /// `optional.optMap(x, x + 1)`: nothing where there is no value.
    fn optional(&mut self, wrap: bool, name: Arc<str>, target: Expr, result: Expr) -> Outcome {
        let (held, at) = (target.clone(), self.at);
        let condition = self.build.member(at, "hasValue", target, Vec::new())?;
        let value = self.build.member(at, "value", held, Vec::new())?;
        let bound = self.bind(name, value, result)?;
        let yes = if wrap { self.call("optional.of", vec![bound])? } else { bound };
        let no = self.call("optional.none", Vec::new())?;
        self.call("_?_:_", vec![condition, yes, no])
    }

    /// `list.sortBy(x, x.key)`: the keys are made first, then the list is sorted by them.
    fn sort_by(&mut self, variable: Arc<str>, target: Expr, key: Expr) -> Outcome {
        const INPUT: &str = "@__sortBy_input__";
        let range = self.build.ident(self.at, INPUT)?;
        let element = self.list(vec![key])?;
        let walk = self.gather(None, element)?;
        let keys = self.walk(range, variable, None, walk)?;
        let input = self.build.ident(self.at, INPUT)?;
        let sorted = self.build.member(self.at, "@sortByAssociatedKeys", input, vec![keys])?;
        self.bind(INPUT.into(), target, sorted)
    }
}
