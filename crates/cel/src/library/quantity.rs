//! Quantities: `1.5Gi`, `100m`.

use std::cmp::Ordering;

use proto::quantity::{Amount, Format};

use super::prelude::*;

pub const ROWS: &[Row] = &[
    row!("quantity", "(string) -> Quantity", Parse, |_, args| match args {
        [Value::String(text)] => match text.parse::<Amount>() {
            Ok(amount) => Ok(Value::host(Host::Quantity(amount))),
            Err(why) => Err(Error::new(why.to_string())),
        },
        _ => Err(Error::NoOverload),
    }),
    row!("isQuantity", "(string) -> bool", Parse, |_, args| match args {
        [Value::String(text)] => Ok(Value::Bool(text.parse::<Amount>().is_ok())),
        _ => Err(Error::NoOverload),
    }),
    row!("sign", "Quantity.() -> int", Step, |_, args| {
        one(args, |amount| Ok(Value::Int(amount.cmp(&Amount::ZERO) as i64)))
    }),
    row!("isInteger", "Quantity.() -> bool", Step, |_, args| one(args, |amount| Ok(Value::Bool(
        whole(amount).is_some()
    )))),
    row!("asInteger", "Quantity.() -> int", Step, |_, args| {
        one(args, |amount| whole(amount).map(Value::Int).ok_or_else(|| Error::new("cannot convert value to integer")))
    }),
    row!("asApproximateFloat", "Quantity.() -> double", Step, |_, args| {
        one(args, |amount| Ok(Value::Double(amount.approximate())))
    }),
    row!("isGreaterThan", "Quantity.(Quantity) -> bool", Step, |_, args| {
        compared(args, |order| Value::Bool(order == Ordering::Greater))
    }),
    row!("isLessThan", "Quantity.(Quantity) -> bool", Step, |_, args| {
        compared(args, |order| Value::Bool(order == Ordering::Less))
    }),
    row!("compareTo", "Quantity.(Quantity) -> int", Step, |_, args| compared(args, |order| Value::Int(order as i64))),
    row!("add", "Quantity.(Quantity) -> Quantity | Quantity.(int) -> Quantity", Step, |_, args| {
        two(args).map(|(a, b)| Value::host(Host::Quantity(a.add(&b))))
    }),
    row!("sub", "Quantity.(Quantity) -> Quantity | Quantity.(int) -> Quantity", Step, |_, args| {
        two(args).map(|(a, b)| Value::host(Host::Quantity(a.sub(&b))))
    }),
];

/// The amount where it is a whole number that an int holds.
fn whole(amount: &Amount) -> Option<i64> {
    let value = amount.value();
    (amount.is_whole() && Amount::from_value(value, Format::DecimalSi) == *amount).then_some(value)
}

fn amount(value: &Value<'_>) -> Result<Amount, Error> {
    match value {
        Value::Int(value) => Ok(Amount::from_value(*value, Format::DecimalSi)),
        Value::Host(host) => match &**host {
            Host::Quantity(amount) => Ok(*amount),
            _ => Err(Error::NoOverload),
        },
        _ => Err(Error::NoOverload),
    }
}

fn one<'a>(args: &[Value<'a>], then: fn(&Amount) -> Outcome<'static>) -> Outcome<'a> {
    match args {
        [value] => then(&amount(value)?),
        _ => Err(Error::NoOverload),
    }
}

fn two(args: &[Value<'_>]) -> Result<(Amount, Amount), Error> {
    match args {
        [a, b] => Ok((amount(a)?, amount(b)?)),
        _ => Err(Error::NoOverload),
    }
}

fn compared<'a>(args: &[Value<'a>], then: fn(Ordering) -> Value<'static>) -> Outcome<'a> {
    two(args).map(|(a, b)| then(a.cmp(&b)))
}
