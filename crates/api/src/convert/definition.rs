//! CustomResourceDefinitions: stored as apiextensions.k8s.io/v1beta1, served as v1.
//!
//! v1beta1 says once, beside its versions, what v1 says in each version.

use serde_json::{Map, Value};

const STORED: &str = "apiextensions.k8s.io/v1beta1";
const SERVED: &str = "apiextensions.k8s.io/v1";

/// The JSON of a stored definition as v1; `None` where it is no v1beta1 definition.
pub fn from_stored(mut object: Value) -> Option<Value> {
    if object.get("apiVersion")?.as_str()? != STORED || object.get("kind")?.as_str()? != "CustomResourceDefinition" {
        return None;
    }
    object["apiVersion"] = Value::from(SERVED);
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        spec_to_v1(spec);
    }
    Some(object)
}

fn spec_to_v1(spec: &mut Map<String, Value>) {
    let validation = spec.remove("validation");
    let subresources = spec.remove("subresources");
    let mut columns = spec.remove("additionalPrinterColumns");
    rename_paths(columns.as_mut());
    if spec.get("preserveUnknownFields") == Some(&Value::Bool(false)) {
        spec.remove("preserveUnknownFields");
    }
    let version = spec.remove("version");
    if !matches!(spec.get("versions"), Some(Value::Array(versions)) if !versions.is_empty())
        && let Some(name) = version
    {
        let only = serde_json::json!([{"name": name, "served": true, "storage": true}]);
        spec.insert("versions".to_owned(), only);
    }
    let Some(Value::Array(versions)) = spec.get_mut("versions") else { return };
    for version in versions.iter_mut().filter_map(Value::as_object_mut) {
        rename_paths(version.get_mut("additionalPrinterColumns"));
        for (name, shared) in
            [("schema", &validation), ("subresources", &subresources), ("additionalPrinterColumns", &columns)]
        {
            if let Some(shared) = shared {
                version.entry(name).or_insert_with(|| shared.clone());
            }
        }
    }
    webhook(spec);
}

/// JSONPath became jsonPath.
fn rename_paths(columns: Option<&mut Value>) {
    let Some(Value::Array(columns)) = columns else { return };
    for column in columns.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(path) = column.remove("JSONPath") {
            column.insert("jsonPath".to_owned(), path);
        }
    }
}

/// The webhook's settings moved into a map of their own.
fn webhook(spec: &mut Map<String, Value>) {
    let Some(Value::Object(conversion)) = spec.get_mut("conversion") else { return };
    let client = conversion.remove("webhookClientConfig");
    let versions = conversion.remove("conversionReviewVersions");
    if client.is_none() && versions.is_none() {
        return;
    }
    let mut webhook = Map::new();
    webhook.extend(client.map(|client| ("clientConfig".to_owned(), client)));
    webhook.extend(versions.map(|versions| ("conversionReviewVersions".to_owned(), versions)));
    conversion.insert("webhook".to_owned(), Value::Object(webhook));
}
