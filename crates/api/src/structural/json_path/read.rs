//! Reading a path.

use super::filter::{Filter, Operand, Operator};
use super::{Error, JsonPath, Step};

/// Filters within filters; more would be a threat to the stack.
const NESTED_MAX: usize = 8;

pub fn steps(text: &str) -> Result<Vec<Step>, Error> {
    read(text, 0)
}

fn read(text: &str, depth: usize) -> Result<Vec<Step>, Error> {
    if depth > NESTED_MAX {
        return Err(Error::Deep(NESTED_MAX));
    }
    let mut steps = Vec::new();
    let mut rest = text.trim();
    if !rest.is_empty() && !rest.starts_with(['.', '[']) {
        rest = field(rest, &mut steps);
    }
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Descend);
            rest = if after.starts_with('[') { after } else { field(after, &mut steps) };
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = if after.is_empty() || after.starts_with('[') { after } else { field(after, &mut steps) };
        } else if let Some(after) = rest.strip_prefix('[') {
            let (inner, after) = bracket(after)?;
            steps.push(brackets(inner.trim(), depth)?);
            rest = after;
        } else {
            return Err(Error::Unexpected(rest.to_owned()));
        }
    }
    Ok(steps)
}

/// A name up to the next dot or bracket; a backslash makes the next letter part of it.
fn field<'a>(text: &'a str, steps: &mut Vec<Step>) -> &'a str {
    let mut name = String::new();
    let mut letters = text.char_indices();
    let mut end = text.len();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
            '.' | '[' => {
                end = at;
                break;
            }
            other => name.push(other),
        }
    }
    steps.push(if name == "*" { Step::All } else { Step::Field(name) });
    &text[end..]
}

/// What is within a bracket, and what is after it. Brackets within quotes do not count.
fn bracket(text: &str) -> Result<(&str, &str), Error> {
    let mut quote = None;
    let mut open = 1;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(mark), letter) if mark == letter => quote = None,
            (None, '[') => open += 1,
            (None, ']') => {
                open -= 1;
                if open == 0 {
                    return Ok((&text[..at], &text[at + 1..]));
                }
            }
            _ => {}
        }
    }
    Err(Error::Open(if quote.is_some() { "a quote" } else { "a bracket" }))
}

fn brackets(inner: &str, depth: usize) -> Result<Step, Error> {
    if let Some(filter) = inner.strip_prefix("?(") {
        let filter = filter.strip_suffix(')').ok_or(Error::Open("a filter"))?;
        return Ok(Step::Filter(self::filter(filter, depth + 1)?));
    }
    if inner == "*" {
        return Ok(Step::All);
    }
    let parts = outside_quotes(inner, ',');
    if let [only] = parts.as_slice() {
        return one(only.trim());
    }
    let paths: Result<Vec<JsonPath>, Error> =
        parts.into_iter().map(|part| Ok(JsonPath { steps: vec![one(part.trim())?] })).collect();
    Ok(Step::Union(paths?))
}

fn one(text: &str) -> Result<Step, Error> {
    if let Some(name) = quoted(text) {
        return Ok(Step::Field(name));
    }
    let wrong = || Error::Index(text.to_owned());
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse::<i64>().map(Some).map_err(|_| wrong()),
    };
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [at] => Ok(Step::Index(number(at)?.ok_or_else(wrong)?)),
        [from, to] => Ok(Step::Slice { from: number(from)?, to: number(to)?, step: 1 }),
        [from, to, step] => Ok(Step::Slice { from: number(from)?, to: number(to)?, step: number(step)?.unwrap_or(1) }),
        _ => Err(wrong()),
    }
}

/// The text within quotes.
fn quoted(text: &str) -> Option<String> {
    let mark = text.chars().next().filter(|mark| matches!(mark, '\'' | '"'))?;
    let inner = text.get(1..)?.strip_suffix(mark)?;
    Some(inner.replace(&format!("\\{mark}"), &mark.to_string()))
}

fn outside_quotes(text: &str, by: char) -> Vec<&str> {
    let mut quote = None;
    text.split(|letter: char| {
        match quote {
            None if matches!(letter, '\'' | '"') => quote = Some(letter),
            Some(mark) if mark == letter => quote = None,
            _ => {}
        }
        quote.is_none() && letter == by
    })
    .collect()
}

fn filter(text: &str, depth: usize) -> Result<Filter, Error> {
    let operators = [
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Below),
        (">", Operator::Above),
    ];
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(mark), letter) if mark == letter => quote = None,
            (None, '=' | '!' | '<' | '>') => {
                let found = operators.iter().find(|(word, _)| text[at..].starts_with(word));
                let Some((word, operator)) = found else { continue };
                let right = operand(&text[at + word.len()..], depth)?;
                return Ok(Filter { left: operand(&text[..at], depth)?, compared: Some((*operator, right)) });
            }
            _ => {}
        }
    }
    Ok(Filter { left: operand(text, depth)?, compared: None })
}

fn operand(text: &str, depth: usize) -> Result<Operand, Error> {
    let text = text.trim();
    if let Some(path) = text.strip_prefix('@') {
        return Ok(Operand::Path(JsonPath { steps: read(path, depth)? }));
    }
    if let Some(inner) = quoted(text) {
        return Ok(Operand::Value(inner.into()));
    }
    serde_json::from_str(text).map(Operand::Value).map_err(|_| Error::Unexpected(text.to_owned()))
}
