//! What to send so that an object becomes what its manifest says: three-way patches.
//!
//! Three states go in: `original` (the manifest as last applied), `modified` (as it is now) and `current` (the live
//! object). What the manifest says and the live object lacks is set; what the manifest said before and no longer says is
//! removed; what others set stays. With the kind's schema the patch is a strategic one (lists merge by key), without it
//! a JSON merge patch. Two ways are three with `original` equal to `current`.

use proto::schema::{FieldInfo, Form, Label, MessageInfo, ValueType};
use serde_json::{Map, Value, json};

/// The annotation that remembers the manifest as last applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

type Schema = Option<&'static MessageInfo>;

/// What is known of a map's values.
#[derive(Clone, Copy)]
enum Of {
    /// They are the fields of a message.
    Message(&'static MessageInfo),
    /// They are alike: the values of a map field.
    Values(&'static FieldInfo),
    Unknown,
}

impl Of {
    fn message(schema: Schema) -> Self {
        schema.map_or(Self::Unknown, Self::Message)
    }

    fn field(self, key: &str) -> Option<&'static FieldInfo> {
        match self {
            Self::Message(message) => message.find(key).map(|found| found.1),
            Self::Values(field) => Some(field),
            Self::Unknown => None,
        }
    }
}

/// The patch; an empty map when nothing is to be done.
pub fn three_way(original: &Value, modified: &Value, current: &Value, schema: Schema) -> Value {
    let empty = Map::new();
    let map = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
    let modified = modified.as_object().unwrap_or(&empty);
    Value::Object(maps(Some(&map(original)), modified, Some(&map(current)), Of::message(schema)))
}

/// The patch that turns one state of an object into another.
pub fn two_way(before: &Value, after: &Value, schema: Schema) -> Value {
    three_way(before, after, before, schema)
}

/// The manifest as the annotation keeps it, and the manifest with that annotation.
pub fn with_last_applied(manifest: &Value) -> Value {
    let mut kept = manifest.clone();
    if let Some(metadata) = kept.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        match annotations.as_object_mut() {
            Some(annotations) => drop(annotations.remove(LAST_APPLIED)),
            None => *annotations = json!({}),
        }
    }
    let text = format!("{}\n", compact_sorted(&kept));
    if let Some(annotations) = kept.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(LAST_APPLIED.to_owned(), Value::String(text));
    }
    kept
}

/// The manifest that the live object remembers.
pub fn last_applied(current: &Value) -> Option<Value> {
    let text = current.pointer("/metadata/annotations")?.get(LAST_APPLIED)?.as_str()?;
    serde_json::from_str(text).ok()
}

fn compact_sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            let parts: Vec<String> =
                entries.into_iter().map(|(key, value)| format!("{}:{}", json!(key), compact_sorted(value))).collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(compact_sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

type Fields = Map<String, Value>;

fn maps(original: Option<&Fields>, modified: &Fields, current: Option<&Fields>, of: Of) -> Fields {
    let mut patch = Fields::new();
    for (key, wanted) in modified {
        let field = of.field(key);
        let inside = matches!(of, Of::Values(_));
        let before = original.and_then(|original| original.get(key));
        let live = current.and_then(|current| current.get(key)).filter(|live| !live.is_null());
        value(&mut patch, key, before, wanted, live, field, inside);
    }
    for key in original.into_iter().flatten().map(|(key, _)| key) {
        if !modified.contains_key(key) && current.is_some_and(|current| current.contains_key(key)) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    patch
}

fn value(
    patch: &mut Fields,
    key: &str,
    before: Option<&Value>,
    wanted: &Value,
    live: Option<&Value>,
    field: Option<&'static FieldInfo>,
    inside: bool,
) {
    let is_map = !inside && field.is_some_and(|field| field.label == Label::Map);
    match (wanted, live) {
        (Value::Null, None) => {}
        // Written by tools into manifests they make; it means nothing.
        (Value::Null, Some(_)) if key == "creationTimestamp" => {}
        (Value::Array(items), None) if items.is_empty() => {}
        (Value::Object(map), None) if map.is_empty() && is_map => {}
        (wanted, None) => drop(patch.insert(key.to_owned(), without_nulls(wanted))),
        (Value::Object(wanted), Some(Value::Object(live))) => {
            let of = match field {
                Some(field) if is_map => Of::Values(field),
                field => Of::message(field.and_then(FieldInfo::message)),
            };
            let mut inner = maps(before.and_then(Value::as_object), wanted, Some(live), of);
            let dropped =
                field.is_some_and(FieldInfo::retains_keys) && live.keys().any(|key| !wanted.contains_key(key));
            if field.is_some_and(FieldInfo::retains_keys) && !inner.is_empty() && dropped {
                let mut keys: Vec<&String> = wanted.keys().collect();
                keys.sort();
                inner.retain(|_, value| !value.is_null());
                inner.insert("$retainKeys".to_owned(), json!(keys));
            }
            if !inner.is_empty() {
                patch.insert(key.to_owned(), Value::Object(inner));
            }
        }
        (Value::Array(wanted), Some(Value::Array(live))) => {
            let before = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            lists(patch, key, before, wanted, live, field);
        }
        (wanted, Some(live)) => {
            if !same(wanted, live, field) {
                patch.insert(key.to_owned(), wanted.clone());
            }
        }
    }
}

fn lists(
    patch: &mut Fields,
    key: &str,
    before: &[Value],
    wanted: &[Value],
    live: &[Value],
    field: Option<&'static FieldInfo>,
) {
    let Some(field) = field.filter(|field| field.merges()) else {
        if !same_list(wanted, live, field) {
            patch.insert(key.to_owned(), json!(wanted));
        }
        return;
    };
    if field.patch_merge_key.is_empty() {
        return words(patch, key, before, wanted, live);
    }
    let id = |item: &Value| item.get(field.patch_merge_key).map(ToString::to_string);
    let unique = |items: &[Value]| {
        let mut ids: Vec<_> = items.iter().map(id).collect();
        ids.sort();
        ids.windows(2).all(|pair| pair[0] != pair[1]) && ids.iter().all(Option::is_some)
    };
    if !unique(wanted) || !unique(live) {
        return replace(patch, key, wanted, live, field);
    }
    let find = |items: &'_ [Value], wanted: &Value| items.iter().position(|item| id(item) == id(wanted));
    let mut changes = Vec::new();
    for item in wanted {
        let before = find(before, item).and_then(|at| before[at].as_object());
        match find(live, item).map(|at| &live[at]) {
            None => changes.push(without_nulls(item)),
            Some(live) => {
                let mut inner = maps(
                    before,
                    item.as_object().unwrap_or(&Fields::new()),
                    live.as_object(),
                    Of::message(field.message()),
                );
                if !inner.is_empty() {
                    inner.insert(field.patch_merge_key.to_owned(), item[field.patch_merge_key].clone());
                    changes.push(Value::Object(inner));
                }
            }
        }
    }
    for item in before {
        if find(wanted, item).is_none() && find(live, item).is_some() {
            changes.push(json!({"$patch": "delete", field.patch_merge_key: item[field.patch_merge_key].clone()}));
        }
    }
    let places: Vec<usize> = wanted.iter().filter_map(|item| find(live, item)).collect();
    let reordered = !places.is_sorted();
    if changes.is_empty() && !reordered {
        return;
    }
    let order: Vec<Value> =
        wanted.iter().map(|item| json!({field.patch_merge_key: item[field.patch_merge_key].clone()})).collect();
    patch.insert(format!("$setElementOrder/{key}"), Value::Array(order));
    if !changes.is_empty() {
        patch.insert(key.to_owned(), Value::Array(changes));
    }
}

/// A list whose items a merge key cannot tell apart (two ports of one number) is given as a whole.
fn replace(patch: &mut Fields, key: &str, wanted: &[Value], live: &[Value], field: &'static FieldInfo) {
    let covers = |wanted: &Value, live: &Value| {
        let wanted = wanted.as_object().cloned().unwrap_or_default();
        maps(None, &wanted, live.as_object(), Of::message(field.message())).is_empty()
    };
    if wanted.len() == live.len() && wanted.iter().zip(live).all(|(wanted, live)| covers(wanted, live)) {
        return;
    }
    let mut items = vec![json!({"$patch": "replace"})];
    items.extend(wanted.iter().cloned());
    patch.insert(key.to_owned(), Value::Array(items));
}

/// A list of words that is a set: finalizers.
fn words(patch: &mut Fields, key: &str, before: &[Value], wanted: &[Value], live: &[Value]) {
    let added: Vec<&Value> = wanted.iter().filter(|word| !live.contains(word)).collect();
    let removed: Vec<&Value> = before.iter().filter(|word| !wanted.contains(word) && live.contains(word)).collect();
    if !removed.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{key}"), json!(removed));
    }
    if !added.is_empty() {
        patch.insert(key.to_owned(), json!(added));
    }
}

/// Equal in meaning: quantities by amount, numbers by value, lists of a fixed order item by item.
fn same(wanted: &Value, live: &Value, field: Option<&FieldInfo>) -> bool {
    if wanted == live {
        return true;
    }
    let form = field.and_then(|field| match field.value {
        ValueType::Message(message) => Some(message.form),
        _ => None,
    });
    match (wanted, live) {
        (Value::Number(wanted), Value::Number(live)) => wanted.as_f64() == live.as_f64(),
        _ if form == Some(Form::Quantity) => canonical(wanted).is_some_and(|wanted| Some(wanted) == canonical(live)),
        _ => false,
    }
}

/// A quantity as the server writes it back.
fn canonical(quantity: &Value) -> Option<Value> {
    let text = serde_json::to_vec(&json!({"spec": {"capacity": {"x": quantity}}})).ok()?;
    let volume: proto::core::v1::PersistentVolume = proto::json::from_slice(&text).ok()?;
    proto::json::to_value(&volume).pointer("/spec/capacity/x").cloned()
}

fn same_list(wanted: &[Value], live: &[Value], field: Option<&'static FieldInfo>) -> bool {
    let message = field.and_then(FieldInfo::message);
    let item = |wanted: &Value, live: &Value| match (wanted.as_object(), live.as_object(), message) {
        // The live item may hold defaults that the manifest leaves out.
        (Some(wanted), Some(live), Some(message)) => maps(None, wanted, Some(live), Of::Message(message)).is_empty(),
        _ => wanted == live,
    };
    wanted.len() == live.len() && wanted.iter().zip(live).all(|(wanted, live)| item(wanted, live))
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
