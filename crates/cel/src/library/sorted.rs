//! The parts of the lists extension that sort, or drop what is there twice.

use std::cmp::Ordering;

use super::prelude::*;
use crate::value::{List, equal_within, order};

const SORT: &str = "list<int>.() -> list<int> | list<uint>.() -> list<uint> | list<double>.() -> list<double> | list<bool>.() -> list<bool> | list<duration>.() -> list<duration> | list<timestamp>.() -> list<timestamp> | list<string>.() -> list<string> | list<bytes>.() -> list<bytes>";
const BY_KEYS: &str = "list<A>.(list<int>) -> list<A> | list<A>.(list<uint>) -> list<A> | list<A>.(list<double>) -> list<A> | list<A>.(list<bool>) -> list<A> | list<A>.(list<duration>) -> list<A> | list<A>.(list<timestamp>) -> list<A> | list<A>.(list<string>) -> list<A> | list<A>.(list<bytes>) -> list<A>";

pub const ROWS: &[Row] = &[
    row!("sort", SORT, Distinct, |vm, args| match args {
        [Value::List(list)] => by_keys(vm, list, list),
        _ => Err(Error::NoOverload),
    }),
    row!("@sortByAssociatedKeys", BY_KEYS, Distinct, |vm, args| match args {
        [Value::List(list), Value::List(keys)] => by_keys(vm, list, keys),
        _ => Err(Error::NoOverload),
    }),
    row!("distinct", "list<A>.() -> list<A>", Distinct, distinct),
];

fn by_keys<'a>(vm: &mut Vm<'a, '_>, list: &List<'a>, keys: &List<'a>) -> Outcome<'a> {
    vm.copies(list.len())?;
    if keys.len() != list.len() {
        return Err(Error::new("the list and its keys differ in length"));
    }
    let mut pairs: Vec<_> = keys.iter().zip(list.iter()).collect();
    if let Some((first, _)) = pairs.first()
        && pairs.iter().any(|(key, _)| key.type_name() != first.type_name() || order(key, key).is_none())
    {
        return Err(Error::new("list elements must have the same type"));
    }
    pairs.sort_by(|(a, _), (b, _)| order(a, b).unwrap_or(Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

fn distinct<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return Err(Error::NoOverload) };
    vm.copies(list.len())?;
    let mut kept: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        let mut known = false;
        for other in &kept {
            if equal_within(other, &item, vm.work())? {
                known = true;
                break;
            }
        }
        if !known {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}
