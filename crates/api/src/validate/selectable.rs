//! The fields of a custom resource that selectors may ask for.

use std::collections::BTreeSet;

use proto::apiextensions::v1::{JsonSchemaProps, SelectableField};

use super::check::Errors;
use super::{FieldError, Path};

/// A version may have so many.
const FIELDS_MAX: usize = 8;

/// Judges the fields that a version names; `schema` is its own.
pub fn check(errors: &mut Errors, path: Path<'_>, fields: &[SelectableField], schema: Option<&JsonSchemaProps>) {
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let at = path.index(index);
        let at = at.child("jsonPath");
        let text = field.json_path.as_str();
        if text.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let found = match find(text, schema) {
            Ok(found) => found,
            Err(why) => {
                errors.push(FieldError::invalid(at, text, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if text == ".metadata" || text.starts_with(".metadata.") {
            errors.push(FieldError::invalid(at, text, "must not point to fields in metadata"));
        }
        if !matches!(found, "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(at, text, why));
        }
        if !seen.insert(text) {
            errors.push(FieldError::duplicate(at, text));
        }
    }
    if seen.len() > FIELDS_MAX {
        errors.push(FieldError::too_many(path, seen.len(), FIELDS_MAX));
    }
}

/// The type that a path's field has.
fn find<'s>(text: &str, schema: Option<&'s JsonSchemaProps>) -> Result<&'s str, String> {
    let Some(rest) = text.strip_prefix('.') else {
        return Err("expected [ or . but got: ".to_owned() + &text.chars().take(1).collect::<String>());
    };
    if rest.contains(['[', ']']) {
        return Err("array notation is not allowed".to_owned());
    }
    let Some(mut here) = schema else { return Err("there is no schema".to_owned()) };
    for name in rest.split('.') {
        let implicit = std::ptr::eq(here, schema.unwrap_or(here)) && matches!(name, "apiVersion" | "kind" | "metadata");
        here = match here.properties.get(name) {
            Some(next) => next,
            None if implicit && name == "metadata" => return Ok("object"),
            None if implicit => return Ok("string"),
            None => return Err(format!("does not refer to a valid field: {name:?} is not in the schema")),
        };
    }
    Ok(&here.r#type)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selectable_field_is_a_plain_field_of_the_schema() {
        let schema: JsonSchemaProps = proto::json::from_value(json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"color": {"type": "string"}, "list": {"type": "array"}}}}}))
        .unwrap();
        let fields = [".spec.color", "spec.color", ".spec.gone", ".spec.list", ".metadata.name", ".spec.color", ""]
            .map(|path| SelectableField { json_path: path.to_owned() });
        let mut errors = Vec::new();
        check(&mut errors, Path::root("f"), &fields, Some(&schema));
        let found: Vec<(&str, &str)> = errors.iter().map(|error| (error.reason.word(), error.field.as_str())).collect();
        assert_eq!(
            found,
            [
                ("FieldValueInvalid", "f[1].jsonPath"),
                ("FieldValueInvalid", "f[2].jsonPath"),
                ("FieldValueInvalid", "f[3].jsonPath"),
                ("FieldValueInvalid", "f[4].jsonPath"),
                ("FieldValueInvalid", "f[4].jsonPath"),
                ("FieldValueDuplicate", "f[5].jsonPath"),
                ("FieldValueRequired", "f[6].jsonPath"),
            ]
        );
    }
}
