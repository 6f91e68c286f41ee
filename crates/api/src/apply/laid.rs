//! A configuration laid over an object without owners: what a mutating policy applies.

use proto::dynamic::KindInfo;
use serde_json::Value;

use super::check::check;
use super::custom::of_schema;
use super::merge::merge;
use super::shape::Shape;
use crate::structural::Schema;

/// `live`, an object of that kind in JSON, with what `config` says. Nothing is removed. `schema`: of a custom resource.
///
/// # Errors
/// The configuration does not fit the kind, or changes lists or maps that are only replaced as a whole.
pub fn laid_over(
    kind: &'static KindInfo,
    schema: Option<&Schema>,
    live: Value,
    config: &Value,
) -> Result<Value, String> {
    let shape = schema.map_or_else(|| Shape::of_message(kind.message), of_schema);
    let wrong = check(shape, config);
    if !wrong.is_empty() {
        return Err(wrong.join(", "));
    }
    let mut wholes = Vec::new();
    find_wholes(shape, config, &mut String::new(), &mut wholes);
    match wholes.is_empty() {
        true => Ok(merge(shape, live, config)),
        false => Err(format!("may not mutate atomic arrays, maps or structs: {}", wholes.join(", "))),
    }
}

/// Paths at which the configuration has a list, map or message that is one value.
fn find_wholes(shape: Shape<'_>, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match (shape, value) {
        (Shape::Atomic(_), Value::Object(_) | Value::Array(_)) => found.push(path.clone()),
        (Shape::Struct(_) | Shape::Map(_), Value::Object(fields)) => {
            for (key, value) in fields {
                if let Some(below) = shape.below(key) {
                    path.push('.');
                    path.push_str(key);
                    find_wholes(below, value, path, found);
                    path.truncate(length);
                }
            }
        }
        (Shape::Set(_) | Shape::Keyed(_), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                find_wholes(shape.item(), item, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proto::Object;
    use proto::core::v1::Pod;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_adds_and_joins() {
        let live = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "1"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let config = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"b": "2"}},
            "spec": {"containers": [{"name": "side", "image": "s"}]}});
        let laid = laid_over(Pod::kind_info(), None, live, &config).expect("fits");
        assert_eq!(laid["metadata"]["labels"], json!({"a": "1", "b": "2"}));
        assert_eq!(laid["spec"]["containers"].as_array().map(Vec::len), Some(2));
        assert_eq!(laid["metadata"]["name"], json!("p"));
    }

    #[test]
    fn what_is_one_value_is_not_joined() {
        let config = json!({"apiVersion": "v1", "kind": "Pod",
            "spec": {"containers": [{"name": "c", "args": ["x"]}]}});
        let refused = laid_over(Pod::kind_info(), None, json!({}), &config).expect_err("refused");
        assert_eq!(refused, "may not mutate atomic arrays, maps or structs: .spec.containers[0].args");
        let wrong = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nothing": 1}});
        assert!(laid_over(Pod::kind_info(), None, json!({}), &wrong).is_err());
    }
}
