//! OpenAPI 2.0: everything in one document, for older clients.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::{self, Definitions};
use super::path::{Operation, Parameter, Path};
use super::schema::{Dialect, kind_value};
use super::write::members;
use crate::document::digest;

/// The document in its parts, which both of its forms are written from.
pub struct V2<'a> {
    paths: &'a [Path],
    definitions: &'a Definitions<'a>,
    /// Parameters, each told once, by the names that paths refer to.
    pub parameters: BTreeMap<String, Value>,
}

impl<'a> V2<'a> {
    pub fn new(paths: &'a [Path], definitions: &'a Definitions<'a>) -> Self {
        let own = paths.iter().flat_map(|path| &path.parameters);
        let all = own.chain(paths.iter().flat_map(|path| &path.operations).flat_map(|operation| &operation.parameters));
        let parameters = all.map(|one| (parameter_name(one), parameter(one))).collect();
        Self { paths, definitions, parameters }
    }

    /// Paths with what can be done there.
    pub fn paths(&self) -> impl Iterator<Item = (&str, Value)> {
        self.paths.iter().map(|path| (path.path.as_str(), path_item(path)))
    }

    /// Names with definitions.
    pub fn definitions(&self) -> impl Iterator<Item = (&str, Value)> {
        self.definitions.each()
    }

    /// Writes it as JSON.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"{\"definitions\":")?;
        members(out, self.definitions())?;
        write!(out, ",\"info\":{},\"parameters\":", super::info())?;
        members(out, self.parameters.iter().map(|(name, value)| (name.as_str(), value)))?;
        out.write_all(b",\"paths\":")?;
        members(out, self.paths())?;
        let schemes = json!({ "BearerToken": super::bearer() });
        write!(out, ",\"security\":[{{\"BearerToken\":[]}}],\"securityDefinitions\":{schemes},\"swagger\":\"2.0\"}}")
    }
}

fn path_item(path: &Path) -> Value {
    let mut item = Map::new();
    for operation_of in &path.operations {
        item.insert(operation_of.method.to_owned(), operation(operation_of));
    }
    if !path.parameters.is_empty() {
        item.insert("parameters".to_owned(), path.parameters.iter().map(parameter_reference).collect());
    }
    Value::Object(item)
}

fn operation(operation: &Operation) -> Value {
    let mut out = Map::new();
    out.insert("description".to_owned(), operation.description.as_str().into());
    out.insert("operationId".to_owned(), operation.id.as_str().into());
    out.insert("tags".to_owned(), json!([operation.tag]));
    out.insert("schemes".to_owned(), json!(["https"]));
    out.insert("produces".to_owned(), operation.produces.into());
    let mut parameters: Vec<Value> = Vec::new();
    if let Some(body) = &operation.body {
        out.insert("consumes".to_owned(), body.consumes.into());
        let mut parameter =
            json!({ "in": "body", "name": "body", "schema": definitions::body(body.answer, Dialect::V2) });
        if body.required {
            parameter["required"] = true.into();
        }
        parameters.push(parameter);
    }
    parameters.extend(operation.parameters.iter().map(parameter_reference));
    if !parameters.is_empty() {
        out.insert("parameters".to_owned(), parameters.into());
    }
    let mut responses = Map::new();
    for (code, answer) in &operation.answers {
        let schema = definitions::body(*answer, Dialect::V2);
        responses.insert(code.to_string(), json!({ "description": super::code_text(*code), "schema": schema }));
    }
    responses.insert("401".to_owned(), json!({ "description": super::code_text(401) }));
    out.insert("responses".to_owned(), responses.into());
    if let Some(action) = &operation.action {
        out.insert("x-kubernetes-action".to_owned(), action.name.into());
        let kind = kind_value(&action.group, &action.version, &action.kind);
        out.insert("x-kubernetes-group-version-kind".to_owned(), kind);
    }
    Value::Object(out)
}

fn parameter(parameter: &Parameter) -> Value {
    let mut out = super::named_parameter(parameter);
    out.insert("type".to_owned(), parameter.kind.into());
    out.insert("uniqueItems".to_owned(), true.into());
    Value::Object(out)
}

fn parameter_reference(parameter: &Parameter) -> Value {
    json!({ "$ref": format!("#/parameters/{}", parameter_name(parameter)) })
}

/// A parameter's own name, and what tells it from others of that name.
fn parameter_name(parameter: &Parameter) -> String {
    let content = format!("{} {} {}", parameter.in_path, parameter.kind, parameter.description);
    format!("{}-{}", parameter.name, &digest(content.as_bytes())[..8])
}
