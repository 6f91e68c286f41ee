//! Whether values are equal, and which comes first. Numbers of all types are on one line.

use std::cmp::Ordering;

use super::{List, Map, Value, list};
use crate::error::Error;
use crate::types::ListKind;

/// Steps that one comparison, or one walk over a value, may take: values may share parts, and so be larger than memory.
const STEPS_MAX: u64 = 4_000_000;

/// Counts the steps of a walk over a value.
#[derive(Debug, Default)]
pub struct Work(u64);

impl Work {
    /// # Errors
    /// Where the walk is too long.
    pub fn step(&mut self, steps: u64) -> Result<(), Error> {
        self.0 = self.0.saturating_add(steps);
        if self.0 > STEPS_MAX { Err(Error::CostLimit) } else { Ok(()) }
    }
}

/// Whether two values are equal; values of different kinds are not, and neither are those too large to be compared.
pub fn equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    equal_within(a, b, &mut Work::default()).unwrap_or(false)
}

/// As [`equal`].
///
/// # Errors
/// Where the values are too large.
pub fn equal_within(a: &Value<'_>, b: &Value<'_>, work: &mut Work) -> Result<bool, Error> {
    work.step(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) | (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::List(a), Value::List(b)) => lists(a, b, work)?,
        (Value::Map(a), Value::Map(b)) => maps(a, b, work)?,
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(a)), Value::Optional(Some(b))) => equal_within(a, b, work)?,
        (Value::Host(a), Value::Host(b)) => a.equals(b),
        _ => numbers(a, b) == Some(Ordering::Equal),
    })
}

fn lists(a: &List<'_>, b: &List<'_>, work: &mut Work) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    let kind = a.kind.or(b.kind);
    for (index, one) in a.iter().enumerate() {
        let found = match kind {
            Some(ListKind::Set) => contains(b, &one, work)?,
            Some(ListKind::Map(keys)) => {
                work.step(b.len() as u64)?;
                match b.iter().find(|other| list::same_keys(&one, other, keys)) {
                    Some(other) => equal_within(&one, &other, work)?,
                    None => false,
                }
            }
            _ => match b.get(index) {
                Some(other) => equal_within(&one, &other, work)?,
                None => false,
            },
        };
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a list has an item that is equal.
///
/// # Errors
/// Where the values are too large.
pub fn contains(list: &List<'_>, wanted: &Value<'_>, work: &mut Work) -> Result<bool, Error> {
    for item in list.iter() {
        if equal_within(&item, wanted, work)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn maps(a: &Map<'_>, b: &Map<'_>, work: &mut Work) -> Result<bool, Error> {
    if a.len() != b.len() || a.made_name() != b.made_name() {
        return Ok(false);
    }
    let others = b.entries();
    for ((key, value), (other_key, other)) in a.entries().iter().zip(&others) {
        // Both are in the order of their keys.
        if key != other_key || !equal_within(value, other, work)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Which of two values of one kind comes first; none where they have no order.
pub fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        _ => numbers(a, b),
    }
}

fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => whole_and_double(i128::from(*a), *b),
        (Value::Uint(a), Value::Double(b)) => whole_and_double(i128::from(*a), *b),
        (Value::Double(_), Value::Int(_) | Value::Uint(_)) => numbers(b, a).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact, where a conversion to a double would round.
fn whole_and_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() >= 1.0e20 {
        return Some(if double > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor = double.floor();
    let order = whole.cmp(&(floor as i128));
    Some(if order == Ordering::Equal && double > floor { Ordering::Less } else { order })
}
