//! Simple JSON paths: fields after dots, `.spec.replicas`, as the scale subresource and selectable fields name them.

use serde_json::{Map, Value};

/// The names in a path; the dot at its begin may be missing.
pub fn steps(path: &str) -> Vec<&str> {
    path.trim_start_matches('.').split('.').filter(|step| !step.is_empty()).collect()
}

/// The value at a path; `None` where a field is absent or has no fields.
pub fn get<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    steps(path).into_iter().try_fold(object, |here, step| here.get(step))
}

/// Puts a value at a path, making the objects on the way. False, and nothing is changed, where something else is in the way.
pub fn set(object: &mut Value, path: &str, value: Value) -> bool {
    let steps = steps(path);
    let Some((last, way)) = steps.split_last() else { return false };
    let mut here = object;
    for step in way {
        let Some(fields) = here.as_object_mut() else { return false };
        here = fields.entry(*step).or_insert_with(|| Value::Object(Map::new()));
    }
    match here.as_object_mut() {
        Some(fields) => {
            fields.insert((*last).to_owned(), value);
            true
        }
        None => false,
    }
}

/// Removes what is at a path; tells whether something was.
pub fn remove(object: &mut Value, path: &str) -> bool {
    let steps = steps(path);
    let Some((last, way)) = steps.split_last() else { return false };
    let parent = way.iter().try_fold(object, |here, step| here.get_mut(step));
    parent.and_then(Value::as_object_mut).is_some_and(|fields| fields.remove(*last).is_some())
}

/// What a selector compares: texts as they are, numbers and booleans as written, nothing where there is no such value.
pub fn selectable(object: &Value, path: &str) -> String {
    match get(object, path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_reads_writes_and_removes() {
        let mut object = json!({"spec": {"replicas": 2, "name": "a", "on": true}});
        assert_eq!(get(&object, ".spec.replicas"), Some(&json!(2)));
        assert_eq!(get(&object, ".spec.replicas.deeper"), None);
        assert!(set(&mut object, ".status.replicas", json!(1)));
        assert!(!set(&mut object, ".spec.name.x", json!(1)));
        assert_eq!(object["status"], json!({"replicas": 1}));
        assert!(remove(&mut object, ".status.replicas") && !remove(&mut object, ".status.replicas"));
        let all =
            [".spec.replicas", ".spec.name", ".spec.on", ".spec.none", ".spec"].map(|path| selectable(&object, path));
        assert_eq!(all, ["2", "a", "true", "", ""]);
    }
}
