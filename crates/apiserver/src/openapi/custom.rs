//! Definitions of custom kinds: from what their CustomResourceDefinition says, read when a document is made.

use api::structural::openapi::{Version, schema};
use prost::Message as _;
use proto::apiextensions::v1::{CustomResourceDefinition, JsonSchemaProps};
use proto::meta::v1::ListMeta_INFO;
use proto::schema::MessageInfo;
use serde_json::{Map, Value, json};

use super::name;
use super::schema::{Dialect, kind_value, object_properties};
use crate::discovery::{Catalog, split};

/// The definition of a custom kind.
pub fn definition(message: &'static MessageInfo, dialect: Dialect, catalog: &Catalog) -> Value {
    let Some(kind) = message.kind else { return json!({ "type": "object" }) };
    let version = match dialect {
        Dialect::V2 => Version::V2,
        Dialect::V3 => Version::V3,
    };
    let object = object_properties(dialect);
    let props = props(catalog, kind.api_version, kind.kind);
    let mut out = props.map_or_else(free, |props| schema(&props, version, &object));
    let mut properties = match out.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    properties.extend(object);
    out.insert("properties".to_owned(), properties.into());
    out.insert("type".to_owned(), "object".into());
    let (group, version) = split(kind.api_version);
    out.insert("x-kubernetes-group-version-kind".to_owned(), json!([kind_value(group, version, kind.kind)]));
    Value::Object(out)
}

/// What a definition without a schema says.
fn free() -> Map<String, Value> {
    Map::from_iter([("x-kubernetes-preserve-unknown-fields".to_owned(), true.into())])
}

fn props(catalog: &Catalog, api_version: &str, kind: &str) -> Option<JsonSchemaProps> {
    let custom = catalog.custom(api_version, kind)?;
    let definition = CustomResourceDefinition::decode(custom.definition.clone()).ok()?;
    let (_, version) = split(api_version);
    let found = definition.spec.versions.into_iter().find(|one| one.name == version)?;
    found.schema?.open_apiv3_schema
}

/// The definition of lists of a custom kind.
pub fn list(message: &'static MessageInfo, dialect: Dialect) -> Value {
    let Some(kind) = message.kind else { return json!({ "type": "object" }) };
    let mut properties = object_properties(dialect);
    properties.insert("metadata".to_owned(), dialect.reference(&name::definition(&ListMeta_INFO)));
    let items = dialect.reference(&name::definition(message));
    properties.insert("items".to_owned(), json!({ "type": "array", "items": items, "description": "The objects." }));
    let (group, version) = split(kind.api_version);
    json!({
        "description": format!("A list of {}.", kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [kind_value(group, version, &format!("{}List", kind.kind))],
    })
}
