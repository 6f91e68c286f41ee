//! Equality and order.

use std::cmp::Ordering;

use super::prelude::*;
use crate::value::{equal_within, order};

/// Numbers of all types are on one line.
const ORDERED: &str = "(bool, bool) -> bool | (int, int) -> bool | (uint, uint) -> bool | (double, double) -> bool | (string, string) -> bool | (bytes, bytes) -> bool | (timestamp, timestamp) -> bool | (duration, duration) -> bool | (int, double) -> bool | (int, uint) -> bool | (uint, double) -> bool | (uint, int) -> bool | (double, int) -> bool | (double, uint) -> bool";

pub const ROWS: &[Row] = &[
    row!("_==_", "(A, A) -> bool", Equal, |vm, args| same(vm, args, true)),
    row!("_!=_", "(A, A) -> bool", Equal, |vm, args| same(vm, args, false)),
    row!("_<_", ORDERED, Order, |_, args| ordered(args, |found| found == Ordering::Less)),
    row!("_<=_", ORDERED, Order, |_, args| ordered(args, |found| found != Ordering::Greater)),
    row!("_>_", ORDERED, Order, |_, args| ordered(args, |found| found == Ordering::Greater)),
    row!("_>=_", ORDERED, Order, |_, args| ordered(args, |found| found != Ordering::Less)),
];

fn same<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>], wanted: bool) -> Outcome<'a> {
    match args {
        [a, b] => Ok(Value::Bool(equal_within(a, b, vm.work())? == wanted)),
        _ => Err(Error::NoOverload),
    }
}

fn ordered<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Outcome<'a> {
    let [a, b] = args else { return Err(Error::NoOverload) };
    match order(a, b) {
        Some(found) => Ok(Value::Bool(holds(found))),
        // What is no number comes neither before nor after one.
        None if matches!(a, Value::Double(_)) || matches!(b, Value::Double(_)) => Ok(Value::Bool(false)),
        None => Err(Error::NoOverload),
    }
}
