//! RFC 6902: a list of operations. As upstream, an index may be negative: -1 is the last item.
//!
//! What a small patch can make of an object is bounded: the number of operations, what they copy, and how deep the
//! result is nested, since whoever walks a tree recurses.

use serde_json::Value;

use super::Error;

/// Operations in one patch, as upstream has it.
const OPERATIONS_MAX: usize = 10_000;
/// Bytes of JSON that the copy operations of one patch may add, as upstream has it.
const COPIED_BYTES_MAX: usize = 3 << 20;
/// How deep a patched object may be nested: as deep as a parsed one.
const DEPTH_MAX: usize = 128;

pub fn apply(object: &mut Value, patch: &Value) -> Result<(), Error> {
    let Value::Array(operations) = patch else {
        return Err(Error::Malformed(format!(
            "error decoding patch: expected an array, got {}",
            super::kind_of(patch)
        )));
    };
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        let why = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}");
        return Err(Error::TooLarge(why));
    }
    let mut changed = object.clone();
    let mut copied = 0;
    for operation in operations {
        one(&mut changed, operation, &mut copied)?;
    }
    *object = changed;
    Ok(())
}

fn one(object: &mut Value, operation: &Value, copied_bytes: &mut usize) -> Result<(), Error> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let unprocessable = |text: String| Error::Unprocessable(text);
    let name = text("op").ok_or_else(|| unprocessable("an operation has no op".to_owned()))?;
    let path = text("path").ok_or_else(|| unprocessable(format!("{name} operation has no path")))?;
    let path = Pointer::parse(path)?;
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    let from = || {
        let from = text("from").ok_or_else(|| unprocessable(format!("{name} operation has no from")))?;
        Pointer::parse(from)
    };
    match name {
        "add" => path.add(object, value()),
        "remove" => path.remove(object).map(|_| ()),
        "replace" => {
            let place = path.find(object).ok_or_else(|| path.missing("replace"))?;
            let value = value();
            path.check_depth(&value)?;
            *place = value;
            Ok(())
        }
        "move" => {
            let moved = from()?.remove(object)?;
            path.add(object, moved)
        }
        "copy" => {
            let from = from()?;
            let copied = from.find(object).ok_or_else(|| from.missing("copy"))?;
            *copied_bytes += size(copied);
            if *copied_bytes > COPIED_BYTES_MAX {
                return Err(unprocessable(format!(
                    "Unable to complete the copy, the accumulated size increase of JSON Patch copy is {copied_bytes}, exceeding the limit {COPIED_BYTES_MAX}"
                )));
            }
            let copied = copied.clone();
            path.add(object, copied)
        }
        "test" => {
            let wanted = value();
            match path.find(object) {
                Some(found) if same(found, &wanted) => Ok(()),
                None if wanted.is_null() => Ok(()),
                _ => Err(unprocessable(format!("testing value {path} failed"))),
            }
        }
        other => Err(unprocessable(format!("unexpected kind of operation: {other}"))),
    }
}

/// Equal as JSON: 1 and 1.0 are the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        (left, right) => left == right,
    }
}

/// About as many bytes as the value has in JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| 1 + size(item)).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>(),
    }
}

/// How deep the value is nested; 0 for a plain one.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// RFC 6901.
struct Pointer {
    steps: Vec<String>,
}

impl Pointer {
    fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self { steps: Vec::new() });
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(Error::Unprocessable(format!("the path {text:?} does not begin with a slash")));
        };
        Ok(Self { steps: rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect() })
    }

    fn missing(&self, operation: &str) -> Error {
        Error::Unprocessable(format!("{operation} operation does not apply: doc is missing path: {self}"))
    }

    fn find<'v>(&self, object: &'v mut Value) -> Option<&'v mut Value> {
        self.steps.iter().try_fold(object, |value, step| into(value, step))
    }

    /// The container of what is meant, and the last step.
    fn parent<'v>(&self, object: &'v mut Value) -> Option<(&'v mut Value, &str)> {
        let (last, steps) = self.steps.split_last()?;
        let parent = steps.iter().try_fold(object, |value, step| into(value, step))?;
        Some((parent, last))
    }

    /// Refuses a value that would be nested too deep here. So every tree that a patch makes is bounded.
    fn check_depth(&self, value: &Value) -> Result<(), Error> {
        if self.steps.len() + depth(value) <= DEPTH_MAX {
            return Ok(());
        }
        Err(Error::Unprocessable(format!("the patched object would be nested deeper than {DEPTH_MAX} levels")))
    }

    fn add(&self, object: &mut Value, value: Value) -> Result<(), Error> {
        self.check_depth(&value)?;
        if self.steps.is_empty() {
            *object = value;
            return Ok(());
        }
        match self.parent(object) {
            Some((Value::Object(map), key)) => {
                map.insert(key.to_owned(), value);
                Ok(())
            }
            Some((Value::Array(items), "-")) => {
                items.push(value);
                Ok(())
            }
            Some((Value::Array(items), step)) => {
                // A negative index counts from the place after the last item.
                let at = index(step, items.len() + 1).ok_or_else(|| self.missing("add"))?;
                items.insert(at, value);
                Ok(())
            }
            _ => Err(self.missing("add")),
        }
    }

    fn remove(&self, object: &mut Value) -> Result<Value, Error> {
        let removed = match self.parent(object) {
            Some((Value::Object(map), key)) => map.remove(key),
            Some((Value::Array(items), step)) => index(step, items.len()).map(|at| items.remove(at)),
            _ => None,
        };
        removed.ok_or_else(|| self.missing("remove"))
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

fn into<'v>(value: &'v mut Value, step: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(map) => map.get_mut(step),
        Value::Array(items) => index(step, items.len()).and_then(|at| items.get_mut(at)),
        _ => None,
    }
}

/// An index into `len` items; negative ones count from the end.
fn index(step: &str, len: usize) -> Option<usize> {
    let digits = step.strip_prefix('-').unwrap_or(step);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: usize = digits.parse().ok()?;
    let at = if step.starts_with('-') { len.checked_sub(number)? } else { number };
    (at < len).then_some(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_run_in_order_or_not_at_all() {
        let mut object = json!({"a": {"x/y": 1}, "l": [1, 2, 3]});
        let patch = json!([
            {"op": "copy", "from": "/a/x~1y", "path": "/b"},
            {"op": "add", "path": "/l/1", "value": 9},
            {"op": "remove", "path": "/l/-1"},
            {"op": "move", "from": "/a", "path": "/c"},
            {"op": "test", "path": "/b", "value": 1.0},
        ]);
        apply(&mut object, &patch).expect("a patch");
        assert_eq!(object, json!({"b": 1, "c": {"x/y": 1}, "l": [1, 9, 2]}));
        let before = object.clone();
        let patch = json!([{"op": "remove", "path": "/b"}, {"op": "remove", "path": "/none"}]);
        assert!(matches!(apply(&mut object, &patch), Err(Error::Unprocessable(_))));
        assert_eq!(object, before);
    }

    #[track_caller]
    fn refused(patch: &Value) -> Error {
        let mut object = json!({"metadata": {"annotations": {"a": "x".repeat(1000)}}});
        let before = object.clone();
        let error = apply(&mut object, patch).expect_err("refused");
        assert_eq!(object, before);
        error
    }

    #[test]
    fn small_patches_make_no_large_objects() {
        let test = json!({"op": "test", "path": "/metadata/none", "value": null});
        let many: Vec<Value> = vec![test; OPERATIONS_MAX + 1];
        assert!(matches!(refused(&many.into()), Error::TooLarge(_)));
        // Each copy doubles the object: thirty of them would need gigabytes.
        let double =
            (0..30).map(|at| json!({"op": "copy", "from": "/metadata", "path": format!("/metadata/c{at}")})).collect();
        assert!(refused(&Value::Array(double)).to_string().contains("exceeding the limit"));
        // Each copy nests the object once more: some thousand would overflow the stack of whoever walks it.
        let path = |depth: usize| format!("/m{}", "/x".repeat(depth));
        let mut deep = vec![json!({"op": "add", "path": "/m", "value": {}})];
        deep.push(json!({"op": "move", "from": "/m", "path": "/n"}));
        deep.extend((0..5000).flat_map(|_| {
            [
                json!({"op": "add", "path": "/m", "value": {}}),
                json!({"op": "move", "from": "/n", "path": "/m/x"}),
                json!({"op": "move", "from": "/m", "path": "/n"}),
            ]
        }));
        deep.truncate(OPERATIONS_MAX);
        assert!(refused(&deep.into()).to_string().contains("nested deeper"));
        let deep_path = json!([{"op": "add", "path": path(200), "value": 1}]);
        assert!(matches!(refused(&deep_path), Error::Unprocessable(_)));
    }

    #[test]
    fn malformed_patches_are_refused() {
        let mut object = json!({"l": [1]});
        for patch in [
            json!([{"op": "add", "value": 1}]),
            json!([{"op": "frob", "path": "/l"}]),
            json!([{"op": "add", "path": "/l/5", "value": 1}]),
            json!([{"op": "add", "path": "l", "value": 1}]),
            json!([{"op": "test", "path": "/l/0", "value": 2}]),
            json!([5]),
        ] {
            assert!(apply(&mut object, &patch).is_err(), "{patch}");
        }
    }
}
