//! Lists as sets.

use super::prelude::*;
use crate::value::{List, contains};

const FORMS: &str = "(list<A>, list<A>) -> bool";

pub const ROWS: &[Row] = &[
    row!("sets.contains", FORMS, Sets, |vm, args| both(vm, args, |vm, a, b| all_in(vm, b, a))),
    row!("sets.equivalent", FORMS, Sets, |vm, args| both(vm, args, |vm, a, b| Ok(
        all_in(vm, a, b)? && all_in(vm, b, a)?
    ))),
    row!("sets.intersects", FORMS, Sets, |vm, args| both(vm, args, any_in)),
];

type Question = for<'a> fn(&mut Vm<'a, '_>, &List<'a>, &List<'a>) -> Result<bool, Error>;

fn both<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>], question: Question) -> Outcome<'a> {
    match args {
        [Value::List(a), Value::List(b)] => question(vm, a, b).map(Value::Bool),
        _ => Err(Error::NoOverload),
    }
}

fn all_in<'a>(vm: &mut Vm<'a, '_>, some: &List<'a>, all: &List<'a>) -> Result<bool, Error> {
    for item in some.iter() {
        if !contains(all, &item, vm.work())? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn any_in<'a>(vm: &mut Vm<'a, '_>, some: &List<'a>, all: &List<'a>) -> Result<bool, Error> {
    for item in some.iter() {
        if contains(all, &item, vm.work())? {
            return Ok(true);
        }
    }
    Ok(false)
}
