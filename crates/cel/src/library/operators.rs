//! Arithmetic, indices, and what macros are made of.

use super::prelude::*;
use crate::value::{Key, List, contains};

pub const ROWS: &[Row] = &[
    row!("_&&_", "(bool, bool) -> bool", Operands, |_, _| Err(Error::NoOverload)),
    row!("_||_", "(bool, bool) -> bool", Operands, |_, _| Err(Error::NoOverload)),
    row!("_?_:_", "(bool, A, A) -> A", Operands, |_, _| Err(Error::NoOverload)),
    row!("@not_strictly_false", "(bool) -> bool", Step, |_, _| Err(Error::NoOverload)),
    row!("!_", "(bool) -> bool", Step, not),
    row!("-_", "(int) -> int | (double) -> double | (duration) -> duration", Step, negated),
    row!(
        "_+_",
        "(int, int) -> int | (uint, uint) -> uint | (double, double) -> double | (string, string) -> string | (bytes, bytes) -> bytes | (list<A>, list<A>) -> list<A> | (timestamp, duration) -> timestamp | (duration, timestamp) -> timestamp | (duration, duration) -> duration",
        Add,
        add
    ),
    row!(
        "_-_",
        "(int, int) -> int | (uint, uint) -> uint | (double, double) -> double | (timestamp, timestamp) -> duration | (timestamp, duration) -> timestamp | (duration, duration) -> duration",
        Step,
        subtract
    ),
    row!("_*_", "(int, int) -> int | (uint, uint) -> uint | (double, double) -> double", Step, multiply),
    row!("_/_", "(int, int) -> int | (uint, uint) -> uint | (double, double) -> double", Step, divide),
    row!("_%_", "(int, int) -> int | (uint, uint) -> uint", Step, modulus),
    // The evaluator does these itself, as the ones above: they need not look at all operands, or take any index.
    row!(
        "_[_]",
        "(list<A>, int) -> A | (map<A, B>, A) -> B | (optional<list<A>>, int) -> optional<A> | (optional<map<A, B>>, A) -> optional<B>",
        Index,
        |_, _| Err(Error::NoOverload)
    ),
    row!(
        "_[?_]",
        "(list<A>, int) -> optional<A> | (map<A, B>, A) -> optional<B> | (optional<list<A>>, int) -> optional<A> | (optional<map<A, B>>, A) -> optional<B>",
        Index,
        |_, _| Err(Error::NoOverload)
    ),
    row!("_?._", "(dyn, string) -> optional<dyn>", Index, |_, _| Err(Error::NoOverload)),
    row!("@in", "(A, list<A>) -> bool", In, among),
    row!("@in", "(A, map<A, B>) -> bool", Step, has_key),
    row!("size", SIZES, Step, size),
    row!("cel.@mapInsert", "(map<A, B>, A, B) -> map<A, B>", Step, insert),
    row!("cel.@mapInsert", "(map<A, B>, map<A, B>) -> map<A, B>", Step, insert_all),
];

const SIZES: &str = "(string) -> int | (bytes) -> int | (list<A>) -> int | (map<A, B>) -> int | string.() -> int | bytes.() -> int | list<A>.() -> int | map<A, B>.() -> int";

fn not<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(Error::NoOverload),
    }
}

fn negated<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(value)] => value.checked_neg().map(Value::Int).ok_or(Error::INT_OVERFLOW),
        [Value::Double(value)] => Ok(Value::Double(-value)),
        [Value::Duration(value)] => value.checked_neg().map(Value::Duration).ok_or(Error::DURATION_OVERFLOW),
        _ => Err(Error::NoOverload),
    }
}

fn add<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(match args {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_add(*b).ok_or(Error::INT_OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_add(*b).ok_or(Error::UINT_OVERFLOW)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a + b),
        [Value::String(a), Value::String(b)] => {
            vm.makes(a.len() + b.len())?;
            Value::text(format!("{}{}", &**a, &**b))
        }
        [Value::Bytes(a), Value::Bytes(b)] => {
            vm.makes(a.len() + b.len())?;
            Value::Bytes([&**a, &**b].concat().into())
        }
        [Value::List(a), Value::List(b)] => joined(vm, a, b)?,
        [Value::Timestamp(time), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(time)] => {
            super::time::moved(*time, i128::from(*nanos))?
        }
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_add(*b).ok_or(Error::DURATION_OVERFLOW)?),
        _ => return Err(Error::NoOverload),
    })
}

fn joined<'a>(vm: &mut Vm<'a, '_>, a: &List<'a>, b: &List<'a>) -> Outcome<'a> {
    vm.copies(a.len() + b.len())?;
    // Lists whose items are told apart compare each with each.
    if a.kind.is_some_and(|kind| *kind != crate::types::ListKind::Atomic) {
        vm.charge(crate::cost::scaled((a.len() as u64).saturating_mul(b.len() as u64), crate::cost::CHARACTER))?;
    }
    Ok(Value::List(a.joined(b)))
}

fn subtract<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(match args {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_sub(*b).ok_or(Error::INT_OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_sub(*b).ok_or(Error::UINT_OVERFLOW)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a - b),
        [Value::Timestamp(a), Value::Timestamp(b)] => {
            let nanos = a.as_nanosecond() - b.as_nanosecond();
            Value::Duration(i64::try_from(nanos).map_err(|_| Error::DURATION_OVERFLOW)?)
        }
        [Value::Timestamp(time), Value::Duration(nanos)] => super::time::moved(*time, -i128::from(*nanos))?,
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_sub(*b).ok_or(Error::DURATION_OVERFLOW)?),
        _ => return Err(Error::NoOverload),
    })
}

fn multiply<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(match args {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_mul(*b).ok_or(Error::INT_OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_mul(*b).ok_or(Error::UINT_OVERFLOW)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a * b),
        _ => return Err(Error::NoOverload),
    })
}

fn divide<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => return Err(Error::DIVIDED_BY_ZERO),
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_div(*b).ok_or(Error::INT_OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a / b),
        [Value::Double(a), Value::Double(b)] => Value::Double(a / b),
        _ => return Err(Error::NoOverload),
    })
}

fn modulus<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => return Err(Error::MODULUS_BY_ZERO),
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_rem(*b).ok_or(Error::INT_OVERFLOW)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a % b),
        _ => return Err(Error::NoOverload),
    })
}

fn among<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [wanted, Value::List(list)] => contains(list, wanted, vm.work()).map(Value::Bool),
        _ => Err(Error::NoOverload),
    }
}

fn has_key<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [wanted, Value::Map(map)] => Ok(Value::Bool(Key::of(wanted).is_some_and(|key| map.get(&key).is_some()))),
        _ => Err(Error::NoOverload),
    }
}

fn size<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value] => Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX))),
        _ => Err(Error::NoOverload),
    }
}

fn insert<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Map(map), key, value] => {
            vm.copies(map.len())?;
            let key = Key::of(key).ok_or(Error::NoOverload)?;
            let shown = key.to_string();
            let made = map.clone().inserted(key, value.clone());
            made.map(Value::Map).ok_or_else(|| Error::new(format!("insert failed: key {shown} already exists")))
        }
        _ => Err(Error::NoOverload),
    }
}

fn insert_all<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Map(map), Value::Map(more)] = args else { return Err(Error::NoOverload) };
    vm.copies(map.len() + more.len())?;
    let mut made = map.clone();
    for (key, value) in more.entries() {
        let shown = key.to_string();
        made = made
            .inserted(key, value)
            .ok_or_else(|| Error::new(format!("insert failed: key {shown} already exists")))?;
    }
    Ok(Value::Map(made))
}
