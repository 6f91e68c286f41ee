//! Printer columns: an object as a row of a table.

use jiff::Timestamp;
use proto::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Value, json};

use super::json_path::JsonPath;
use super::number::Real;
use crate::print::since;

/// The columns of one version of a kind.
#[derive(Debug, Clone)]
pub struct Columns {
    columns: Vec<Column>,
}

/// The head of a column, as a Table's `columnDefinitions` tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub name: String,
    /// string, integer, number, boolean or date.
    pub kind: String,
    /// `name` on the column that holds the object's name; else what the definition says.
    pub format: String,
    pub description: String,
    /// 0 is always shown, more with wide output.
    pub priority: i32,
}

impl Head {
    /// As Tables are written.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

#[derive(Debug, Clone)]
struct Column {
    head: Head,
    /// `None` where the path cannot be read: the cells are empty.
    path: Option<JsonPath>,
}

impl Columns {
    /// The columns that a definition names, behind the name; the age alone where it names none.
    pub fn new(columns: &[CustomResourceColumnDefinition]) -> Self {
        if columns.is_empty() {
            return Self { columns: vec![age()] };
        }
        Self { columns: columns.iter().map(column).collect() }
    }

    /// The heads, the name's first.
    pub fn heads(&self) -> Vec<Head> {
        let name = Head {
            name: "Name".to_owned(),
            kind: "string".to_owned(),
            format: "name".to_owned(),
            description: "The name of the object, unique in its namespace".to_owned(),
            priority: 0,
        };
        std::iter::once(name).chain(self.columns.iter().map(|column| column.head.clone())).collect()
    }

    /// The cells of an object, one for each head. Ages are told as of `now`.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = object.pointer("/metadata/name").cloned().unwrap_or_else(|| json!(""));
        std::iter::once(name).chain(self.columns.iter().map(|column| column.cell(object, now))).collect()
    }
}

fn age() -> Column {
    let head = Head {
        name: "Age".to_owned(),
        kind: "date".to_owned(),
        format: String::new(),
        description: "How long ago the object was created".to_owned(),
        priority: 0,
    };
    Column { head, path: JsonPath::new(".metadata.creationTimestamp").ok() }
}

fn column(column: &CustomResourceColumnDefinition) -> Column {
    let description = match column.description.as_str() {
        "" => format!("What the object has at {}", column.json_path),
        given => given.to_owned(),
    };
    let head = Head {
        name: column.name.clone(),
        kind: column.r#type.clone(),
        format: column.format.clone(),
        description,
        priority: column.priority,
    };
    Column { head, path: JsonPath::new(&column.json_path).ok() }
}

impl Column {
    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.as_ref().map(|path| path.find(object)).unwrap_or_default();
        let Some(value) = found.first().copied() else { return Value::Null };
        match (self.head.kind.as_str(), value) {
            ("string", value) => json!(text(value)),
            ("integer", Value::Number(number)) => match Real::of(number) {
                Real::Whole(number) => json!(number),
                #[allow(clippy::cast_possible_truncation, reason = "the fraction is dropped, as upstream does")]
                Real::Float(number) => json!(number as i64),
            },
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("date", Value::String(time)) => json!(self::date(time, now)),
            _ => Value::Null,
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => Real::of(number).text(),
        other => other.to_string(),
    }
}

fn date(time: &str, now: Timestamp) -> String {
    match time {
        "" => "<unknown>".to_owned(),
        time if time.parse::<Timestamp>().is_err() => "<invalid>".to_owned(),
        time => since(Some(time), now),
    }
}
