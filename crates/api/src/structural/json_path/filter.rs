//! Filters of a path: `@.type=="Ready"`, `@.count > 2`, `@.name`.

use std::cmp::Ordering;

use serde_json::Value;

use super::JsonPath;

#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub left: Operand,
    /// Without it the left side only has to be there.
    pub compared: Option<(Operator, Operand)>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// What the path finds in the item first.
    Path(JsonPath),
    Value(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Below,
    Above,
    AtMost,
    AtLeast,
}

impl Filter {
    pub fn holds(&self, item: &Value) -> bool {
        let Some(left) = self.left.value(item) else { return false };
        let Some((operator, right)) = &self.compared else { return true };
        let Some(right) = right.value(item) else { return false };
        let order = order(left, right);
        match operator {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Below => order == Some(Ordering::Less),
            Operator::Above => order == Some(Ordering::Greater),
            Operator::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Operator::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, item: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Path(path) => path.find(item).first().copied(),
            Self::Value(value) => Some(value),
        }
    }
}

/// `None` where the values cannot be compared.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        _ => None,
    }
}
