//! Values that may be absent.

use super::prelude::*;

pub const ROWS: &[Row] = &[
    row!("optional.of", "(A) -> optional<A>", Step, |_, args| Ok(Value::some(args[0].clone()))),
    row!("optional.none", "() -> optional<A>", Step, |_, _| Ok(Value::Optional(None))),
    row!("optional.ofNonZeroValue", "(A) -> optional<A>", Step, |_, args| {
        Ok(if is_zero(&args[0]) { Value::Optional(None) } else { Value::some(args[0].clone()) })
    }),
    row!("value", "optional<A>.() -> A", Step, |_, args| match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Error::new("optional.none() dereference")),
        _ => Err(Error::NoOverload),
    }),
    row!("hasValue", "optional<A>.() -> bool", Step, |_, args| match args {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => Err(Error::NoOverload),
    }),
    // The evaluator looks at the second one only where it is needed.
    row!("or", "optional<A>.(optional<A>) -> optional<A>", Step, |_, _| Err(Error::NoOverload)),
    row!("orValue", "optional<A>.(A) -> A", Step, |_, _| Err(Error::NoOverload)),
    row!("optional.unwrap", "(list<optional<A>>) -> list<A>", Copy, unwrap),
    row!("unwrapOpt", "list<optional<A>>.() -> list<A>", Copy, unwrap),
];

fn unwrap<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return Err(Error::NoOverload) };
    vm.copies(list.len())?;
    let mut values = Vec::new();
    for item in list.iter() {
        match item {
            Value::Optional(Some(value)) => values.push((*value).clone()),
            Value::Optional(None) => {}
            _ => return Err(Error::NoOverload),
        }
    }
    Ok(Value::list(values))
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Int(value) | Value::Duration(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Optional(value) => value.is_none(),
        Value::Timestamp(_) | Value::Type(_) | Value::Host(_) => false,
    }
}
