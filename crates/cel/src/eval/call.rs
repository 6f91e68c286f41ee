//! Calls: operators that need not look at all operands, then functions by the kinds of their arguments.

use std::sync::Arc;

use super::{Outcome, Vm, field};
use crate::ast::{Call, Expr, Node};
use crate::error::Error;
use crate::functions::Function;
use crate::parse::ACCU;
use crate::value::{Key, Value};

impl<'a> Vm<'a, '_> {
    pub(super) fn call(&mut self, call: &'a Call) -> Outcome<'a> {
        match (&*call.name, call.args.as_slice()) {
            ("_&&_", [left, right]) => self.logic(left, right, false),
            ("_||_", [left, right]) => self.logic(left, right, true),
            ("_?_:_", [condition, yes, no]) => match self.eval(condition)? {
                Value::Bool(true) => self.eval(yes),
                Value::Bool(false) => self.eval(no),
                _ => Err(Error::NoOverload),
            },
            ("@not_strictly_false", [operand]) => self.going(operand),
            ("_[_]", [value, at]) => self.indexed(value, at, true),
            ("_[?_]" | "_?._", [value, at]) => self.indexed(value, at, false),
            ("_+_", [left, right]) if is_accu(left) => self.grown(left, right),
            ("or", [left, right]) if call.member => self.otherwise(left, right, false),
            ("orValue", [left, right]) if call.member => self.otherwise(left, right, true),
            _ => self.function(call),
        }
    }

    /// `&&` and `||`: what decides, decides, on whichever side it stands, and whatever the other side fails with.
    #[inline(never)]
    fn logic(&mut self, left: &'a Expr, right: &'a Expr, decisive: bool) -> Outcome<'a> {
        let first = self.eval(left);
        match &first {
            Ok(Value::Bool(value)) if *value == decisive => return first,
            Err(Error::CostLimit) => return first,
            _ => {}
        }
        let second = self.eval(right);
        match (&first, &second) {
            (_, Ok(Value::Bool(value))) if *value == decisive => second,
            (_, Err(Error::CostLimit)) => second,
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!decisive)),
            (Err(_), _) => first,
            (Ok(Value::Bool(_)), Err(_)) => second,
            _ => Err(Error::NoOverload),
        }
    }

    /// Whether a walk goes on: a failure does not end it, since a later item may decide.
    fn going(&mut self, operand: &'a Expr) -> Outcome<'a> {
        let found = self.eval(operand);
        self.charge(1)?;
        match found {
            Err(Error::CostLimit) => Err(Error::CostLimit),
            Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
            _ => Ok(Value::Bool(true)),
        }
    }

    /// What a walk carries along, with more at its end: nobody else sees the list, so it is not copied.
    fn grown(&mut self, left: &'a Expr, right: &'a Expr) -> Outcome<'a> {
        let more = self.eval(right)?;
        self.charge(1)?;
        let frame = self.frames.iter_mut().rev().find(|frame| **frame.name == *ACCU);
        let carried = match (frame, &left.node) {
            (Some(frame), Node::Ident(_)) => std::mem::replace(&mut frame.value, Ok(Value::Null))?,
            _ => return Err(Error::NoOverload),
        };
        self.charge(1)?;
        match (carried, more) {
            (Value::List(carried), Value::List(more)) => {
                self.copies(1)?;
                let mut grown = carried;
                for item in more.iter() {
                    grown = grown.pushed(item);
                }
                Ok(Value::List(grown))
            }
            (Value::Int(carried), Value::Int(more)) => {
                carried.checked_add(more).map(Value::Int).ok_or(Error::INT_OVERFLOW)
            }
            _ => Err(Error::NoOverload),
        }
    }

    /// `optional.or(other)` and `optional.orValue(other)`: the other is looked at only where it is needed.
    fn otherwise(&mut self, left: &'a Expr, right: &'a Expr, value: bool) -> Outcome<'a> {
        let found = self.eval(left)?;
        self.charge(1)?;
        match found {
            Value::Optional(Some(found)) if value => Ok((*found).clone()),
            Value::Optional(Some(_)) => Ok(found),
            Value::Optional(None) => self.eval(right),
            _ => Err(Error::NoOverload),
        }
    }

    #[inline(never)]
    fn indexed(&mut self, value: &'a Expr, at: &'a Expr, strict: bool) -> Outcome<'a> {
        let value = self.eval(value)?;
        let at = self.eval(at)?;
        self.charge(1)?;
        index(&value, &at, strict)
    }

    #[inline(never)]
    fn function(&mut self, call: &'a Call) -> Outcome<'a> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.eval(arg)?);
        }
        match call.function {
            Some(function) => self.apply(function, call.member, &args),
            None => Err(Error::new(format!("no such function: {}", call.name))),
        }
    }

    fn apply(&mut self, function: &'static Function, member: bool, args: &[Value<'a>]) -> Outcome<'a> {
        let fits = |types: &[crate::types::Type]| types.iter().zip(args).all(|(ty, value)| value.is(ty));
        let Some(found) = function.candidates(member, args.len()).find(|overload| fits(&overload.args)) else {
            return Err(Error::NoOverload);
        };
        let value = (found.call.0)(self, args)?;
        let cost = found.cost.of(args, &value)?;
        self.charge(cost)?;
        Ok(value)
    }
}

fn is_accu(expr: &Expr) -> bool {
    matches!(&expr.node, Node::Ident(name) if **name == *ACCU)
}

/// `value[index]`, also of an optional; `strict` says whether a missing entry is a failure or no value.
fn index<'a>(value: &Value<'a>, index: &Value<'a>, strict: bool) -> Outcome<'a> {
    let found = match value {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => return self::index(inner, index, false),
        Value::List(list) => {
            let at = match index {
                Value::Int(at) => Some(*at),
                Value::Uint(at) => i64::try_from(*at).ok(),
                Value::Double(at) if at.fract() == 0.0 && at.abs() < 9.0e15 => Some(*at as i64),
                Value::Double(_) => None,
                other => {
                    return Err(Error::new(format!("unsupported index type '{}' in list", &*other.type_name())));
                }
            };
            let item = at.and_then(|at| usize::try_from(at).ok()).and_then(|at| list.get(at));
            match (item, strict) {
                (Some(item), _) => Some(item),
                (None, false) => None,
                (None, true) => {
                    let shown = at.map_or_else(|| "?".to_owned(), |at| at.to_string());
                    return Err(Error::new(format!("index out of bounds: {shown}")));
                }
            }
        }
        Value::Map(map) if map.made_name().is_some() || value.object().is_some() => match index {
            Value::String(name) if strict => return field(value, name),
            Value::String(name) => field(value, name).ok(),
            _ => return Err(Error::NoOverload),
        },
        Value::Map(map) => {
            let key = Key::of(index);
            match (key.as_ref().and_then(|key| map.get(key)), strict) {
                (None, true) => {
                    let shown = key.map_or_else(|| index.type_name().to_string(), |key| key.to_string());
                    return Err(Error::no_such_key(shown));
                }
                (found, _) => found,
            }
        }
        _ => return Err(Error::NoOverload),
    };
    match (found, strict) {
        (Some(found), true) => Ok(found),
        (found, _) => Ok(Value::Optional(found.map(Arc::new))),
    }
}
