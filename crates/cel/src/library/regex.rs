//! Regular expressions, in RE2's form.

use ::regex::{Regex, RegexBuilder};

use super::prelude::*;
use crate::value::Text;

/// What a pattern may take when it is made ready, in bytes.
const SIZE_MAX: usize = 2 << 20;

pub const ROWS: &[Row] = &[
    row!("matches", "string.(string) -> bool | (string, string) -> bool", Matches, |vm, args| {
        with(vm, args, |pattern, text| Value::Bool(pattern.is_match(text)))
    }),
    row!("find", "string.(string) -> string", Find, |vm, args| {
        with(vm, args, |pattern, text| {
            Value::text(pattern.find(text).map(|found| found.as_str().to_owned()).unwrap_or_default())
        })
    }),
    row!("findAll", "string.(string) -> list<string> | string.(string, int) -> list<string>", Find, find_all),
];

/// A pattern made ready.
pub fn read(pattern: &str) -> Result<Regex, Error> {
    let made = RegexBuilder::new(pattern).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).build();
    made.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Error::new(format!("error parsing regexp: {last}"))
    })
}

fn with<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>], then: fn(&Regex, &str) -> Value<'a>) -> Outcome<'a> {
    let [Value::String(text), Value::String(pattern)] = args else { return Err(Error::NoOverload) };
    let pattern = vm.pattern(pattern)?;
    Ok(then(&pattern, text))
}

fn find_all<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, pattern, most) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, -1),
        [Value::String(text), Value::String(pattern), Value::Int(most)] => (text, pattern, *most),
        _ => return Err(Error::NoOverload),
    };
    let pattern = vm.pattern(pattern)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for one in pattern.find_iter(text).take(most) {
        vm.copies(1)?;
        found.push(Value::String(Text::Shared(one.as_str().into())));
    }
    Ok(Value::list(found))
}
