//! RFC 6902: a list of operations. As upstream, an index may be negative: -1 is the last item.

use serde_json::Value;

use super::Error;

pub fn apply(object: &mut Value, patch: &Value) -> Result<(), Error> {
    let Value::Array(operations) = patch else {
        return Err(Error::Malformed(format!(
            "error decoding patch: expected an array, got {}",
            super::kind_of(patch)
        )));
    };
    let mut changed = object.clone();
    for operation in operations {
        one(&mut changed, operation)?;
    }
    *object = changed;
    Ok(())
}

fn one(object: &mut Value, operation: &Value) -> Result<(), Error> {
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
            *place = value();
            Ok(())
        }
        "move" => {
            let moved = from()?.remove(object)?;
            path.add(object, moved)
        }
        "copy" => {
            let from = from()?;
            let copied = from.find(object).ok_or_else(|| from.missing("copy"))?.clone();
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

    fn add(&self, object: &mut Value, value: Value) -> Result<(), Error> {
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
