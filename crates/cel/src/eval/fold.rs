//! Walks over lists and maps: what macros are.

use super::{Frame, Outcome, Vm};
use crate::ast::Fold;
use crate::error::Error;
use crate::value::Value;

impl<'a> Vm<'a, '_> {
    #[inline(never)]
    pub(super) fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        if fold.is_bind() {
            return self.bind(fold);
        }
        let range = self.eval(&fold.range)?;
        let init = self.eval(&fold.init);
        let depth = self.frames.len();
        self.frames.push(Frame { name: &fold.accu, value: init });
        let walked = self.walk(fold, range, depth);
        self.frames.truncate(depth + 1);
        let result = match walked {
            Ok(()) => self.eval(&fold.result),
            Err(error) => Err(error),
        };
        self.frames.truncate(depth);
        result
    }

    /// A name for a value.
    fn bind(&mut self, fold: &'a Fold) -> Outcome<'a> {
        self.charge(crate::cost::LIST)?;
        let value = self.eval(&fold.init);
        if matches!(value, Err(Error::CostLimit)) {
            return value;
        }
        self.frames.push(Frame { name: &fold.accu, value });
        let result = self.eval(&fold.result);
        self.frames.pop();
        result
    }

    fn walk(&mut self, fold: &'a Fold, range: Value<'a>, accu: usize) -> Result<(), Error> {
        match range {
            Value::List(list) => {
                for at in 0..list.len() {
                    let Some(item) = list.get(at) else { break };
                    let (first, second) = match &fold.second {
                        None => (item, None),
                        Some(_) => (Value::Int(i64::try_from(at).unwrap_or(i64::MAX)), Some(item)),
                    };
                    if !self.pace(fold, first, second, accu)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for key in map.keys() {
                    let value = fold.second.as_ref().and_then(|_| map.get(&key));
                    if !self.pace(fold, key.value(), value, accu)? {
                        break;
                    }
                }
            }
            Value::Optional(_) => return Err(Error::NoOverload),
            _ => return Err(Error::NoOverload),
        }
        Ok(())
    }

    /// One item; false where the walk ends before it.
    fn pace(
        &mut self,
        fold: &'a Fold,
        first: Value<'a>,
        second: Option<Value<'a>>,
        accu: usize,
    ) -> Result<bool, Error> {
        self.frames.truncate(accu + 1);
        self.frames.push(Frame { name: &fold.first, value: Ok(first) });
        if let (Some(name), Some(value)) = (&fold.second, second) {
            self.frames.push(Frame { name, value: Ok(value) });
        }
        match self.eval(&fold.condition)? {
            Value::Bool(true) => {}
            _ => return Ok(false),
        }
        let step = self.eval(&fold.step);
        // Only conditions may go on after a failure; nothing else reads it before the end.
        match step {
            Err(Error::CostLimit) => return Err(Error::CostLimit),
            Err(error) if !self.carries_failures(fold) => return Err(error),
            step => self.frames[accu].value = step,
        }
        Ok(true)
    }

    /// `all` and `exists`: a later item may decide whatever an earlier one failed with.
    fn carries_failures(&self, fold: &Fold) -> bool {
        matches!(&fold.init.node, crate::ast::Node::Literal(crate::ast::Literal::Bool(_)))
    }
}
