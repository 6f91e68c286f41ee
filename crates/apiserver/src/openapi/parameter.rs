//! Parameters: each kind of request has an options message, whose fields are its query parameters.

use proto::Kind;
use proto::meta::v1::{CreateOptions, DeleteOptions, ListOptions, PatchOptions, UpdateOptions};
use proto::schema::{FieldInfo, Form, MessageInfo, ValueType};

use super::path::Parameter;

/// The fields of an options message. Left out: what is behind a feature gate that is off, and what only a body can hold.
pub fn of_message(message: &MessageInfo) -> Vec<Parameter> {
    let off = |field: &FieldInfo| field.feature_gates.iter().any(|gate| gate.ends_with("default=false"));
    let kind = |field: &FieldInfo| match field.value {
        ValueType::Bool => Some("boolean"),
        ValueType::Int32 | ValueType::Int64 => Some("integer"),
        ValueType::String => Some("string"),
        ValueType::Message(inner) if inner.form == Form::Time => Some("string"),
        _ => None,
    };
    let fields = message.fields.iter().filter(|field| !off(field));
    fields.filter_map(|field| Some(query(field.name, kind(field)?, field.doc))).collect()
}

pub fn list() -> Vec<Parameter> {
    of_message(ListOptions::info())
}

pub fn create() -> Vec<Parameter> {
    of_message(CreateOptions::info())
}

pub fn update() -> Vec<Parameter> {
    of_message(UpdateOptions::info())
}

pub fn patch() -> Vec<Parameter> {
    of_message(PatchOptions::info())
}

pub fn delete() -> Vec<Parameter> {
    of_message(DeleteOptions::info())
}

/// Those of a deletion and those that pick objects.
pub fn delete_collection() -> Vec<Parameter> {
    let watches = |parameter: &Parameter| ["watch", "allowWatchBookmarks"].contains(&parameter.name.as_str());
    let picks = list().into_iter().filter(|parameter| !watches(parameter));
    delete().into_iter().chain(picks).collect()
}

/// What every request may ask for.
pub fn pretty() -> Parameter {
    query("pretty", "string", "true: write JSON for people, in lines. Browsers, curl and wget get it so unasked.")
}

/// A parameter in the path.
pub fn in_path(name: &str, description: &str) -> Parameter {
    Parameter { name: name.to_owned(), in_path: true, kind: "string", description: description.to_owned() }
}

fn query(name: &str, kind: &'static str, description: &str) -> Parameter {
    Parameter { name: name.to_owned(), in_path: false, kind, description: description.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_out_that_fields_can_be_validated() {
        for parameters in [create(), update(), patch()] {
            assert!(parameters.iter().any(|parameter| parameter.name == "fieldValidation"), "{parameters:?}");
        }
        assert!(patch().iter().any(|parameter| parameter.name == "force" && parameter.kind == "boolean"));
        assert!(delete().iter().all(|parameter| parameter.name != "preconditions"), "only a body holds those");
        assert!(delete_collection().iter().all(|parameter| parameter.name != "watch"));
    }

    #[test]
    fn every_parameter_is_described() {
        for parameter in [list(), create(), update(), patch(), delete()].concat() {
            assert!(!parameter.description.is_empty(), "{}", parameter.name);
        }
    }
}
