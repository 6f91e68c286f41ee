//! OpenAPI 3.0: a document for each group version.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::{self, Definitions};
use super::path::{Body, Operation, Parameter, Path};
use super::schema::{Dialect, kind_value};
use super::write::members;

/// Writes a document.
pub fn write(out: &mut dyn Write, paths: &[Path], definitions: &Definitions<'_>) -> io::Result<()> {
    out.write_all(b"{\"components\":{\"schemas\":")?;
    members(out, definitions.each())?;
    let rest = json!({ "BearerToken": super::bearer() });
    write!(out, ",\"securitySchemes\":{rest}}},\"info\":{},\"openapi\":\"3.0.0\",\"paths\":", super::info())?;
    members(out, paths.iter().map(|path| (path.path.as_str(), path_item(path))))?;
    out.write_all(b"}")
}

fn path_item(path: &Path) -> Value {
    let mut item = Map::new();
    for operation_of in &path.operations {
        item.insert(operation_of.method.to_owned(), operation(operation_of));
    }
    if !path.parameters.is_empty() {
        item.insert("parameters".to_owned(), path.parameters.iter().map(parameter).collect());
    }
    Value::Object(item)
}

fn operation(operation: &Operation) -> Value {
    let mut out = Map::new();
    out.insert("description".to_owned(), operation.description.as_str().into());
    out.insert("operationId".to_owned(), operation.id.as_str().into());
    out.insert("tags".to_owned(), json!([operation.tag]));
    if !operation.parameters.is_empty() {
        out.insert("parameters".to_owned(), operation.parameters.iter().map(parameter).collect());
    }
    if let Some(body) = &operation.body {
        out.insert("requestBody".to_owned(), request_body(body));
    }
    let mut responses = Map::new();
    for (code, answer) in &operation.answers {
        let content = content(operation.produces, &definitions::body(*answer, Dialect::V3));
        responses.insert(code.to_string(), json!({ "description": super::code_text(*code), "content": content }));
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

fn request_body(body: &Body) -> Value {
    let mut out = Map::new();
    out.insert("content".to_owned(), content(body.consumes, &definitions::body(body.answer, Dialect::V3)));
    if body.required {
        out.insert("required".to_owned(), true.into());
    }
    Value::Object(out)
}

fn content(types: &[&str], schema: &Value) -> Value {
    types.iter().map(|name| ((*name).to_owned(), json!({ "schema": schema }))).collect::<Map<_, _>>().into()
}

fn parameter(parameter: &Parameter) -> Value {
    let mut out = super::named_parameter(parameter);
    out.insert("schema".to_owned(), json!({ "type": parameter.kind }));
    Value::Object(out)
}
