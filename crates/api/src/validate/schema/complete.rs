//! Conditions speak of fields that the schema itself has: logic names no field that is not declared beside it.

use proto::apiextensions::v1::JsonSchemaProps;

use super::DEPTH_MAX;
use crate::validate::check::Errors;
use crate::validate::{FieldError, Path};

/// Where a field would have to be declared, and where a condition speaks of it.
#[derive(Clone, Copy)]
struct Places<'a> {
    declared: Path<'a>,
    named: Path<'a>,
}

/// Judges a schema and everything below it.
pub fn check(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    logic(errors, Places { declared: path, named: path }, schema, schema, depth);
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        check(errors, properties.key(name), property, depth + 1);
    }
    if let Some(items) = schema.items.as_ref().and_then(|items| items.schema.as_ref()) {
        check(errors, path.child("items"), items, depth + 1);
    }
    if let Some(inner) = schema.additional_properties.as_ref().and_then(|additional| additional.schema.as_ref()) {
        check(errors, path.child("additionalProperties"), inner, depth + 1);
    }
}

fn logic(errors: &mut Errors, places: Places<'_>, said: &JsonSchemaProps, schema: &JsonSchemaProps, depth: usize) {
    let named = places.named;
    for (field, list) in [("allOf", &said.all_of), ("anyOf", &said.any_of), ("oneOf", &said.one_of)] {
        let at = named.child(field);
        for (index, inner) in list.iter().enumerate() {
            nested(errors, Places { named: at.index(index), ..places }, inner, schema, depth + 1);
        }
    }
    if let Some(inner) = &said.not {
        nested(errors, Places { named: named.child("not"), ..places }, inner, schema, depth + 1);
    }
}

fn nested(errors: &mut Errors, places: Places<'_>, said: &JsonSchemaProps, schema: &JsonSchemaProps, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    logic(errors, places, said, schema, depth);
    let Places { declared, named } = places;
    if let Some(inner) = said.items.as_ref().and_then(|items| items.schema.as_ref()) {
        let found = schema.items.as_ref().and_then(|items| items.schema.as_deref());
        let places = Places { declared: declared.child("items"), named: named.child("items") };
        one(errors, places, inner, found, depth);
    }
    let (declared, named) = (declared.child("properties"), named.child("properties"));
    for (name, inner) in &said.properties {
        let places = Places { declared: declared.key(name), named: named.key(name) };
        one(errors, places, inner, schema.properties.get(name), depth);
    }
}

fn one(
    errors: &mut Errors,
    places: Places<'_>,
    said: &JsonSchemaProps,
    schema: Option<&JsonSchemaProps>,
    depth: usize,
) {
    match schema {
        Some(schema) => nested(errors, places, said, schema, depth + 1),
        None => {
            let why = format!("because it is defined in {}", places.named);
            errors.push(FieldError::required(places.declared, why));
        }
    }
}
