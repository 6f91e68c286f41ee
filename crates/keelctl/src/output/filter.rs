//! The conditions within JSONPath brackets: `[?(@.type=="Ready" && @.n>1)]`.

use std::cmp::Ordering;

use anyhow::{Context, bail};
use serde_json::Value;

use super::jsonpath::{Path, quoted};

#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    Or(Box<Filter>, Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Exists(Path),
    Compare(Operand, Operator, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Path(Path),
    Value(Value),
}

const OPERATORS: [(&str, Operator); 7] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=~", Operator::Matches),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Filter {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        for (word, or) in [("||", true), ("&&", false)] {
            if let Some(at) = find_outside_quotes(text, word) {
                let (left, right) =
                    (Box::new(Self::parse(&text[..at])?), Box::new(Self::parse(&text[at + word.len()..])?));
                return Ok(if or { Self::Or(left, right) } else { Self::And(left, right) });
            }
        }
        let first =
            OPERATORS.iter().filter_map(|(word, operator)| Some((find_outside_quotes(text, word)?, *word, *operator)));
        match first.min_by_key(|(at, word, _)| (*at, std::cmp::Reverse(word.len()))) {
            Some((at, word, operator)) => {
                Ok(Self::Compare(operand(&text[..at])?, operator, operand(&text[at + word.len()..])?))
            }
            None => Ok(Self::Exists(Path::parse(text)?)),
        }
    }

    pub fn holds(&self, root: &Value, current: &Value) -> anyhow::Result<bool> {
        Ok(match self {
            Self::Or(left, right) => left.holds(root, current)? || right.holds(root, current)?,
            Self::And(left, right) => left.holds(root, current)? && right.holds(root, current)?,
            Self::Exists(path) => !path.find(root, current)?.is_empty(),
            Self::Compare(left, operator, right) => {
                let (left, right) = (left.value(root, current)?, right.value(root, current)?);
                match (left, right) {
                    (Some(left), Some(right)) => operator.holds(left, right)?,
                    _ => false,
                }
            }
        })
    }
}

impl Operand {
    fn value<'a>(&'a self, root: &'a Value, current: &'a Value) -> anyhow::Result<Option<&'a Value>> {
        Ok(match self {
            Self::Path(path) => path.find(root, current)?.into_iter().next(),
            Self::Value(value) => Some(value),
        })
    }
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> anyhow::Result<bool> {
        if self == Self::Matches {
            let pattern = right.as_str().context("=~ takes a pattern in quotes")?;
            return Ok(regex::Regex::new(pattern)?.is_match(left.as_str().unwrap_or_default()));
        }
        let order = match (left, right) {
            (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            (left, right) if left == right => Some(Ordering::Equal),
            _ => None,
        };
        Ok(match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::Matches => false,
        })
    }
}

fn operand(text: &str) -> anyhow::Result<Operand> {
    let text = text.trim();
    if text.starts_with(['\'', '"']) {
        return Ok(Operand::Value(Value::String(quoted(text)?.0)));
    }
    if text.starts_with(['@', '$', '.']) {
        return Ok(Operand::Path(Path::parse(text)?));
    }
    match text {
        "true" => Ok(Operand::Value(Value::Bool(true))),
        "false" => Ok(Operand::Value(Value::Bool(false))),
        "null" => Ok(Operand::Value(Value::Null)),
        "" => bail!("a value is missing in a filter"),
        _ => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) => Ok(Operand::Value(Value::Number(number))),
            Err(_) => bail!("{text} is neither a path, a number nor a quoted text"),
        },
    }
}

fn find_outside_quotes(text: &str, word: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('(' | '[', None) => depth += 1,
            (')' | ']', None) => depth -= 1,
            _ => {}
        }
        if quote.is_none() && depth == 0 && text[at..].starts_with(word) {
            return Some(at);
        }
    }
    None
}

/// Where the bracket that closes the first one is, quotes minded.
pub fn closing_bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', _) => escaped = true,
            (_, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('[', None) => depth += 1,
            (']', None) => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}
