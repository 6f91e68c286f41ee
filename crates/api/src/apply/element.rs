//! One step of the way to a field, and the values that name items of lists.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// One step of a path. Ordered as upstream orders steps: fields, then keys, then values, then places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A field of a message, or a key of a map.
    Field(Cow<'static, str>),
    /// The item of a map-like list that has these keys; sorted by name.
    Key(Vec<(Cow<'static, str>, Scalar)>),
    /// The item of a set that is this value.
    Value(Scalar),
    /// The item at that place.
    Index(i64),
}

impl Element {
    /// A field that is known when this program is built.
    pub const fn field(name: &'static str) -> Self {
        Self::Field(Cow::Borrowed(name))
    }
}

/// As refusals write it: `.spec`, `[name="a"]`, `[="v"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (index, (name, value)) in keys.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A JSON value that names an item. Ordered as upstream orders values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    Number(Number),
    Text(String),
    Bool(bool),
    /// A list or a map, as its JSON.
    Tree(String),
    Null,
}

impl Scalar {
    /// The value of a JSON tree.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::String(text) => Self::Text(text.clone()),
            Value::Number(number) => Self::Number(Number::of(number)),
            tree => Self::Tree(tree.to_string()),
        }
    }

    /// A whole number.
    pub fn int(number: i64) -> Self {
        Self::Number(Number::Int(number))
    }
}

/// As JSON.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(Number::Int(number)) => write!(f, "{number}"),
            Self::Number(Number::Float(number)) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&Value::from(text.as_str()).to_string()),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Tree(json) => f.write_str(json),
            Self::Null => f.write_str("null"),
        }
    }
}

/// A JSON number. A whole one is never [`Number::Float`], so that equal numbers are equal.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    fn of(number: &serde_json::Number) -> Self {
        // What fits no 64 bits is a fraction to JSON as well.
        const WHOLE_MAX: f64 = 9e15;
        match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Self::Int(number),
            (None, Some(number)) if number.fract() == 0.0 && number.abs() < WHOLE_MAX => Self::Int(number as i64),
            (None, number) => Self::Float(number.unwrap_or_default()),
        }
    }

    fn as_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            // A tie between a whole number and a fraction is a loss of digits: keep them apart.
            (Self::Int(_), Self::Float(_)) => self.as_f64().total_cmp(&other.as_f64()).then(Ordering::Less),
            (Self::Float(_), Self::Int(_)) => self.as_f64().total_cmp(&other.as_f64()).then(Ordering::Greater),
            (Self::Float(left), Self::Float(right)) => left.total_cmp(right),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}
