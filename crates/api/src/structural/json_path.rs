//! JSON paths as kubectl and printer columns write them: `.spec.a`, `.a['b']`, `.list[0]`, `.list[-1:]`, `.list[*].x`,
//! `..x`, `.conditions[?(@.type=="Ready")].status`.
//!
//! A path is read once and then asked of many objects. Missing fields are no error: they find nothing.

mod filter;
mod read;

use serde_json::Value;

use filter::Filter;

/// A path that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    /// Every field, or every item.
    All,
    /// Items by their places; a place below zero counts from the end.
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: i64,
    },
    Index(i64),
    /// Everything at any depth, the value itself included.
    Descend,
    Filter(Filter),
    Union(Vec<JsonPath>),
}

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0} is not closed")]
    Open(&'static str),
    #[error("{0:?} is no place in a list: write a number, a range or *")]
    Index(String),
    #[error("{0:?} cannot stand here")]
    Unexpected(String),
    #[error("the path nests more than {0} filters")]
    Deep(usize),
}

impl JsonPath {
    /// Reads a path; the dot at its begin may be missing.
    ///
    /// # Errors
    /// [`Error`]: what is wrong with it.
    pub fn new(text: &str) -> Result<Self, Error> {
        Ok(Self { steps: read::steps(text)? })
    }

    /// All values that the path finds, in order.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.steps {
            found = found.into_iter().flat_map(|value| step.find(value)).collect();
        }
        found
    }
}

impl Step {
    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
            (Self::Index(at), Value::Array(items)) => {
                place(*at, items.len()).and_then(|at| items.get(at)).into_iter().collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(fields)) => fields.values().collect(),
            (Self::Slice { from, to, step }, Value::Array(items)) => slice(items, *from, *to, *step),
            (Self::Descend, _) => {
                let mut all = Vec::new();
                descend(value, &mut all);
                all
            }
            (Self::Filter(filter), Value::Array(items)) => items.iter().filter(|item| filter.holds(item)).collect(),
            (Self::Filter(filter), Value::Object(fields)) => {
                fields.values().filter(|item| filter.holds(item)).collect()
            }
            (Self::Union(paths), _) => paths.iter().flat_map(|path| path.find(value)).collect(),
            _ => Vec::new(),
        }
    }
}

fn place(at: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if at < 0 { at + length } else { at }).ok()
}

fn slice(items: &[Value], from: Option<i64>, to: Option<i64>, step: i64) -> Vec<&Value> {
    let from = from.map_or(Some(0), |from| place(from, items.len()));
    let to = to.map_or(Some(items.len()), |to| place(to, items.len())).map(|to| to.min(items.len()));
    let (Some(from), Some(to), Ok(step)) = (from, to, usize::try_from(step.max(1))) else { return Vec::new() };
    items.get(from..to).unwrap_or_default().iter().step_by(step).collect()
}

fn descend<'a>(value: &'a Value, all: &mut Vec<&'a Value>) {
    all.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| descend(item, all)),
        Value::Object(fields) => fields.values().for_each(|field| descend(field, all)),
        _ => {}
    }
}
