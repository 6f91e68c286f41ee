//! RFC 7396: objects merge, null removes, everything else replaces.

use serde_json::{Map, Value};

use super::Error;

pub fn apply(object: &mut Value, patch: &Value) -> Result<(), Error> {
    let Value::Object(patch) = patch else {
        return Err(Error::Malformed(format!(
            "error decoding patch: expected an object, got {}",
            super::kind_of(patch)
        )));
    };
    merge(object, patch);
    Ok(())
}

fn merge(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(patch) => merge(target.entry(key.clone()).or_insert(Value::Null), patch),
            value => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn null_removes_and_objects_merge() {
        let mut object = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        super::apply(&mut object, &json!({"a": {"b": null, "d": {"e": null}}, "l": [3]})).expect("a patch");
        assert_eq!(object, json!({"a": {"c": 2, "d": {}}, "l": [3]}));
        assert!(super::apply(&mut object, &json!([])).is_err());
    }
}
