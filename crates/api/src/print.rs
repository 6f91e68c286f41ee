//! Objects as rows of a table: the columns and cells that kubectl and keelctl show.
//!
//! Cells are made from an object's JSON, so one function serves built-in objects, either API version of a kind, and
//! whatever comes later. No clock: `now` is passed in. Entry: [`columns`] and [`cells`].

mod age;
mod columns;
mod config;
mod core;
mod extension;
mod network;
mod node;
mod pod;
mod storage;
mod value;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use age::{since, span};
pub use columns::{PLAIN, columns};
pub use pod::{Summary, summary as pod_summary};
pub use value::{join_map, label_selector};

use value::{number, text, texts};

/// A column of a resource's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its heading, as in a Table's columnDefinitions: `Cluster-IP`.
    pub name: &'static str,
    /// string, integer, boolean or date.
    pub kind: &'static str,
    /// `name` on the column that holds the object's name.
    pub format: &'static str,
    /// 0 is always shown, 1 with wide output.
    pub priority: i32,
}

/// The cells of an object, one a column of [`columns`] (or of [`PLAIN`], where the resource has none).
pub fn cells(group: &str, resource: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let row = Row { object, now };
    core::cells(group, resource, &row)
        .or_else(|| workload::cells(group, resource, &row))
        .or_else(|| network::cells(group, resource, &row))
        .or_else(|| storage::cells(group, resource, &row))
        .or_else(|| config::cells(group, resource, &row))
        .or_else(|| extension::cells(group, resource, &row))
        .unwrap_or_else(|| vec![row.name(), row.age()])
}

/// An object on its way to become cells.
struct Row<'a> {
    object: &'a Value,
    now: Timestamp,
}

impl<'a> Row<'a> {
    fn name(&self) -> Value {
        self.text("metadata.name")
    }

    fn age(&self) -> Value {
        json!(since(text(self.object, "metadata.creationTimestamp"), self.now))
    }

    /// The creation time as it is written.
    fn created(&self) -> Value {
        self.text("metadata.creationTimestamp")
    }

    /// A string, empty where absent.
    fn text(&self, path: &str) -> Value {
        json!(text(self.object, path).unwrap_or_default())
    }

    /// A string, or a word in its place where it is absent or empty.
    fn text_or(&self, path: &str, absent: &str) -> Value {
        json!(text(self.object, path).filter(|text| !text.is_empty()).unwrap_or(absent))
    }

    /// A number, zero where absent.
    fn number(&self, path: &str) -> Value {
        json!(number(self.object, path))
    }

    /// A boolean, false where absent.
    fn flag(&self, path: &str) -> Value {
        json!(self.at(path).and_then(Value::as_bool).unwrap_or_default())
    }

    fn list(&self, path: &str) -> &'a [Value] {
        value::list(self.object, path)
    }

    fn at(&self, path: &str) -> Option<&'a Value> {
        value::at(self.object, path)
    }

    /// The names of a template's containers, and their images.
    fn containers(&self, pod_spec: &str) -> [Value; 2] {
        let containers = self.list(&format!("{pod_spec}.containers"));
        [json!(texts(containers, "name").join(",")), json!(texts(containers, "image").join(","))]
    }

    fn deleted(&self) -> bool {
        text(self.object, "metadata.deletionTimestamp").is_some()
    }
}
