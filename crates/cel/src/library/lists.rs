//! Lists: Kubernetes' library, and the parts of the lists extension that do not sort.

use std::cmp::Ordering;

use super::prelude::*;
use crate::value::{List, equal_within, order};

const ORDERED: &str = "list<int>.() -> int | list<uint>.() -> uint | list<double>.() -> double | list<bool>.() -> bool | list<duration>.() -> duration | list<timestamp>.() -> timestamp | list<string>.() -> string | list<bytes>.() -> bytes";
const SORTED: &str = "list<int>.() -> bool | list<uint>.() -> bool | list<double>.() -> bool | list<bool>.() -> bool | list<duration>.() -> bool | list<timestamp>.() -> bool | list<string>.() -> bool | list<bytes>.() -> bool";

pub const ROWS: &[Row] = &[
    row!("isSorted", SORTED, Walk, is_sorted),
    row!(
        "sum",
        "list<int>.() -> int | list<uint>.() -> uint | list<double>.() -> double | list<duration>.() -> duration",
        Walk,
        sum
    ),
    row!("min", ORDERED, Walk, |_, args| extreme(args, Ordering::Less)),
    row!("max", ORDERED, Walk, |_, args| extreme(args, Ordering::Greater)),
    row!("indexOf", "list<A>.(A) -> int", Walk, |vm, args| place(vm, args, false)),
    row!("lastIndexOf", "list<A>.(A) -> int", Walk, |vm, args| place(vm, args, true)),
    row!("slice", "list<A>.(int, int) -> list<A>", Step, slice),
    row!("flatten", "list<list<A>>.() -> list<A> | list<dyn>.(int) -> list<dyn>", Copy, flatten),
    row!("reverse", "list<A>.() -> list<A>", Copy, reverse),
    row!("lists.range", "(int) -> list<int>", Step, range),
    row!("first", "list<A>.() -> optional<A>", Step, |_, args| end(args, |list| list.get(0))),
    row!("last", "list<A>.() -> optional<A>", Step, |_, args| {
        end(args, |list| list.len().checked_sub(1).and_then(|at| list.get(at)))
    }),
];

fn is_sorted<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return Err(Error::NoOverload) };
    let mut before: Option<Value<'a>> = None;
    for item in list.iter() {
        if let Some(before) = &before {
            match order(before, &item) {
                None => return Err(Error::NoOverload),
                Some(Ordering::Greater) => return Ok(Value::Bool(false)),
                Some(_) => {}
            }
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return Err(Error::NoOverload) };
    let mut items = list.iter();
    let Some(mut sum) = items.next() else { return Ok(Value::Int(0)) };
    if list.len() == 1 && !matches!(sum, Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_)) {
        return Err(Error::NoOverload);
    }
    for item in items {
        sum = match (sum, item) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(b).ok_or(Error::INT_OVERFLOW)?),
            (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(b).ok_or(Error::UINT_OVERFLOW)?),
            (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
            (Value::Duration(a), Value::Duration(b)) => {
                Value::Duration(a.checked_add(b).ok_or(Error::DURATION_OVERFLOW)?)
            }
            _ => return Err(Error::NoOverload),
        };
    }
    Ok(sum)
}

fn extreme<'a>(args: &[Value<'a>], wanted: Ordering) -> Outcome<'a> {
    let [Value::List(list)] = args else { return Err(Error::NoOverload) };
    let mut items = list.iter();
    let word = if wanted == Ordering::Less { "min" } else { "max" };
    let mut best = items.next().ok_or_else(|| Error::new(format!("{word} called on empty list")))?;
    for item in items {
        if order(&item, &best).ok_or(Error::NoOverload)? == wanted {
            best = item;
        }
    }
    Ok(best)
}

fn place<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>], last: bool) -> Outcome<'a> {
    let [Value::List(list), wanted] = args else { return Err(Error::NoOverload) };
    let mut found = -1;
    for (at, item) in list.iter().enumerate() {
        if equal_within(&item, wanted, vm.work())? {
            found = at as i64;
            if !last {
                break;
            }
        }
    }
    Ok(Value::Int(found))
}

fn slice<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), Value::Int(from), Value::Int(to)] = args else { return Err(Error::NoOverload) };
    let wrong = |why: String| Err(Error::new(format!("cannot slice({from}, {to}), {why}")));
    let (Ok(start), Ok(end)) = (usize::try_from(*from), usize::try_from(*to)) else {
        return wrong("negative indexes not supported".to_owned());
    };
    if start > end {
        return wrong("start index must be less than or equal to end index".to_owned());
    }
    if end > list.len() {
        return wrong(format!("list is length {}", list.len()));
    }
    vm.copies(end - start)?;
    Ok(Value::list((start..end).filter_map(|at| list.get(at)).collect()))
}

fn flatten<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(_), Value::Int(depth)] if *depth < 0 => {
            return Err(Error::new("level must be non-negative"));
        }
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return Err(Error::NoOverload),
    };
    let mut flat = Vec::new();
    flattened(vm, list, depth, &mut flat)?;
    Ok(Value::list(flat))
}

fn flattened<'a>(vm: &mut Vm<'a, '_>, list: &List<'a>, depth: i64, flat: &mut Vec<Value<'a>>) -> Result<(), Error> {
    for item in list.iter() {
        match item {
            Value::List(inner) if depth > 0 => flattened(vm, &inner, depth - 1, flat)?,
            other => {
                vm.copies(1)?;
                flat.push(other);
            }
        }
    }
    Ok(())
}

fn reverse<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return Err(Error::NoOverload) };
    vm.copies(list.len())?;
    let mut items = list.to_vec();
    items.reverse();
    Ok(Value::list(items))
}

fn range<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Int(count)] = args else { return Err(Error::NoOverload) };
    let count = (*count).max(0);
    vm.copies(usize::try_from(count).unwrap_or(usize::MAX))?;
    vm.charge(crate::cost::LIST + count as u64)?;
    Ok(Value::list((0..count).map(Value::Int).collect()))
}

fn end<'a>(args: &[Value<'a>], of: fn(&List<'a>) -> Option<Value<'a>>) -> Outcome<'a> {
    let [Value::List(list)] = args else { return Err(Error::NoOverload) };
    Ok(of(list).map_or(Value::Optional(None), Value::some))
}
