//! Versions by the rules of semver.org.

use std::cmp::Ordering;

use super::prelude::*;

const READ: &str = "(string) -> Semver | (string, bool) -> Semver";
const TEST: &str = "(string) -> bool | (string, bool) -> bool";

pub const ROWS: &[Row] = &[
    row!("semver", READ, Parse, |_, args| read(args)?
        .map(|it| Value::host(Host::Semver(it)))
        .ok_or_else(|| { Error::new("No Major.Minor.Patch elements found, or an element is no number") })),
    row!("isSemver", TEST, Parse, |_, args| Ok(Value::Bool(read(args)?.is_some()))),
    row!("major", "Semver.() -> int", Step, |_, args| number(args, 0)),
    row!("minor", "Semver.() -> int", Step, |_, args| number(args, 1)),
    row!("patch", "Semver.() -> int", Step, |_, args| number(args, 2)),
    row!("isGreaterThan", "Semver.(Semver) -> bool", Step, |_, args| {
        compared(args, |order| Value::Bool(order == Ordering::Greater))
    }),
    row!("isLessThan", "Semver.(Semver) -> bool", Step, |_, args| {
        compared(args, |order| Value::Bool(order == Ordering::Less))
    }),
    row!("compareTo", "Semver.(Semver) -> int", Step, |_, args| compared(args, |order| Value::Int(order as i64))),
];

/// A version; what is built in does not count when versions are compared.
#[derive(Debug, Clone)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<Identifier>,
}

/// Numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Semver {
    fn parse(text: &str) -> Option<Self> {
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
        let mut numbers = [0; 3];
        let mut parts = core.split('.');
        for number in &mut numbers {
            *number = plain_number(parts.next()?)?;
        }
        let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if parts.next().is_some() || build.is_some_and(|build| !build.split('.').all(word)) {
            return None;
        }
        let identifier = |part: &str| {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            match (word(part), digits) {
                (false, _) => None,
                (true, true) => plain_number(part).map(Identifier::Number),
                (true, false) => Some(Identifier::Word(part.to_owned())),
            }
        };
        let pre = pre.map_or(Some(Vec::new()), |pre| pre.split('.').map(identifier).collect())?;
        Some(Self { numbers, pre })
    }
}

/// Digits without a zero before them.
fn plain_number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain && (text == "0" || !text.starts_with('0')) { text.parse().ok() } else { None }
}

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Semver {}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        // A version that is not out yet comes before the one that is.
        let out = self.pre.is_empty().cmp(&other.pre.is_empty());
        self.numbers.cmp(&other.numbers).then(out).then_with(|| self.pre.cmp(&other.pre))
    }
}

/// `v1.2` as `1.2.0`, and numbers without zeros before them.
fn normal(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let mut parts: Vec<&str> = core
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            trimmed => trimmed,
        })
        .collect();
    while parts.len() < 3 {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

fn read(args: &[Value<'_>]) -> Result<Option<Semver>, Error> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Semver::parse(text)),
        [Value::String(text), Value::Bool(true)] => Ok(Semver::parse(&normal(text))),
        _ => Err(Error::NoOverload),
    }
}

fn version<'v>(value: &'v Value<'_>) -> Result<&'v Semver, Error> {
    match value {
        Value::Host(host) => match &**host {
            Host::Semver(version) => Ok(version),
            _ => Err(Error::NoOverload),
        },
        _ => Err(Error::NoOverload),
    }
}

fn number<'a>(args: &[Value<'a>], at: usize) -> Outcome<'a> {
    let [value] = args else { return Err(Error::NoOverload) };
    i64::try_from(version(value)?.numbers[at]).map(Value::Int).map_err(|_| Error::INT_OVERFLOW)
}

fn compared<'a>(args: &[Value<'a>], then: fn(Ordering) -> Value<'static>) -> Outcome<'a> {
    let [a, b] = args else { return Err(Error::NoOverload) };
    Ok(then(version(a)?.cmp(version(b)?)))
}
