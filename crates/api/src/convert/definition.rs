//! CustomResourceDefinitions: stored as apiextensions.k8s.io/v1beta1, served as v1.
//!
//! v1beta1 says once, beside its versions, what v1 says in each version.

use proto::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion,
};
use proto::reflect::Reflect;
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
    let selectable = spec.remove("selectableFields");
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
        for (name, shared) in [
            ("schema", &validation),
            ("subresources", &subresources),
            ("additionalPrinterColumns", &columns),
            ("selectableFields", &selectable),
        ] {
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

/// The JSON to store for a v1 definition: v1beta1, its fields in that version's order.
pub fn to_stored(definition: &CustomResourceDefinition) -> Vec<u8> {
    let mut out = Object::default();
    out.text("kind", "CustomResourceDefinition");
    out.text("apiVersion", STORED);
    out.message("metadata", &definition.metadata);
    out.raw("spec", &spec_to_stored(&definition.spec));
    out.message("status", &definition.status);
    out.end()
}

fn spec_to_stored(spec: &CustomResourceDefinitionSpec) -> Vec<u8> {
    let first = spec.versions.first().cloned().unwrap_or_default();
    // What is the same in every version is said once.
    let all = |same: fn(&CustomResourceDefinitionVersion, &CustomResourceDefinitionVersion) -> bool| {
        spec.versions.iter().all(|version| same(version, &first))
    };
    let shared = Shared {
        schema: all(|one, first| one.schema == first.schema),
        subresources: all(|one, first| one.subresources == first.subresources),
        columns: all(|one, first| one.additional_printer_columns == first.additional_printer_columns),
        selectable: all(|one, first| one.selectable_fields == first.selectable_fields),
    };
    let mut out = Object::default();
    out.text("group", &spec.group);
    if !first.name.is_empty() {
        out.text("version", &first.name);
    }
    out.message("names", &spec.names);
    out.text("scope", &spec.scope);
    if let Some(schema) = first.schema.as_ref().filter(|_| shared.schema) {
        out.message("validation", schema);
    }
    if let Some(subresources) = first.subresources.as_ref().filter(|_| shared.subresources) {
        out.message("subresources", subresources);
    }
    let versions: Vec<_> = spec.versions.iter().map(|version| version_to_stored(version, &shared)).collect();
    out.list("versions", &versions);
    if shared.columns && !first.additional_printer_columns.is_empty() {
        out.list("additionalPrinterColumns", &columns_to_stored(&first.additional_printer_columns));
    }
    if shared.selectable && !first.selectable_fields.is_empty() {
        out.list("selectableFields", &messages(&first.selectable_fields));
    }
    if let Some(conversion) = &spec.conversion {
        out.raw("conversion", &conversion_to_stored(conversion));
    }
    out.raw("preserveUnknownFields", if spec.preserve_unknown_fields { b"true" } else { b"false" });
    out.end()
}

/// Which of a version's parts are said beside the versions.
struct Shared {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

#[expect(deprecated, reason = "the field says of an API version that it is deprecated; it is not so itself")]
fn version_to_stored(version: &CustomResourceDefinitionVersion, shared: &Shared) -> Vec<u8> {
    let flag = |value: bool| if value { &b"true"[..] } else { b"false" };
    let mut out = Object::default();
    out.text("name", &version.name);
    out.raw("served", flag(version.served));
    out.raw("storage", flag(version.storage));
    if version.deprecated {
        out.raw("deprecated", b"true");
    }
    if let Some(warning) = &version.deprecation_warning {
        out.text("deprecationWarning", warning);
    }
    if let Some(schema) = version.schema.as_ref().filter(|_| !shared.schema) {
        out.message("schema", schema);
    }
    if let Some(subresources) = version.subresources.as_ref().filter(|_| !shared.subresources) {
        out.message("subresources", subresources);
    }
    if !shared.columns && !version.additional_printer_columns.is_empty() {
        out.list("additionalPrinterColumns", &columns_to_stored(&version.additional_printer_columns));
    }
    if !shared.selectable && !version.selectable_fields.is_empty() {
        out.list("selectableFields", &messages(&version.selectable_fields));
    }
    out.end()
}

/// jsonPath, their last field, is JSONPath there.
fn columns_to_stored(columns: &[CustomResourceColumnDefinition]) -> Vec<Vec<u8>> {
    let one = |column: &CustomResourceColumnDefinition| {
        let json = proto::json::to_string(column);
        // Quotes within a string are escaped, so this is the key and nothing else.
        json.replace("\"jsonPath\":", "\"JSONPath\":").into_bytes()
    };
    columns.iter().map(one).collect()
}

fn conversion_to_stored(conversion: &CustomResourceConversion) -> Vec<u8> {
    let mut out = Object::default();
    out.text("strategy", &conversion.strategy);
    if let Some(webhook) = &conversion.webhook {
        if let Some(client) = &webhook.client_config {
            out.message("webhookClientConfig", client);
        }
        if !webhook.conversion_review_versions.is_empty() {
            let names: Vec<_> = webhook.conversion_review_versions.iter().map(|name| quoted(name)).collect();
            out.list("conversionReviewVersions", &names);
        }
    }
    out.end()
}

fn messages<T: Reflect>(items: &[T]) -> Vec<Vec<u8>> {
    items.iter().map(|item| proto::json::to_vec(item)).collect()
}

fn quoted(text: &str) -> Vec<u8> {
    Value::from(text).to_string().into_bytes()
}

/// A JSON object in the order in which its fields are put in.
#[derive(Default)]
struct Object(Vec<u8>);

impl Object {
    fn raw(&mut self, key: &str, value: &[u8]) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.extend_from_slice(&quoted(key));
        self.0.push(b':');
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &quoted(value));
    }

    fn message<T: Reflect>(&mut self, key: &str, value: &T) {
        self.raw(key, &proto::json::to_vec(value));
    }

    fn list(&mut self, key: &str, items: &[Vec<u8>]) {
        let mut list = vec![b'['];
        list.extend_from_slice(&items.join(&b','));
        list.push(b']');
        self.raw(key, &list);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(if self.0.is_empty() { b"{}" } else { b"}" });
        self.0
    }
}
