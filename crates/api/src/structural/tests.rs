//! What a schema decides, as plain data.

mod columns;
mod decide;
mod laws;
mod logic;
mod refuse;

use proto::apiextensions::v1::JsonSchemaProps;
use serde_json::Value;

use super::Schema;

/// The schema that JSON describes.
#[track_caller]
fn schema(json: Value) -> Schema {
    Schema::new(&proto::json::from_value::<JsonSchemaProps>(json).expect("a schema"))
}
