//! Kubernetes' strategic merge: lists merge by key where the schema says so, and directives steer it.
//!
//! `$patch: replace|delete|merge` in a map or a list item, `$retainKeys` in a map, `$deleteFromPrimitiveList/FIELD` and
//! `$setElementOrder/FIELD` beside a field.

use proto::schema::{FieldInfo, Form, Label, MessageInfo};
use serde_json::{Map, Value};

use super::Error;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";

type Tree = Map<String, Value>;

/// What is known of a value.
#[derive(Clone, Copy)]
enum Schema {
    Message(&'static MessageInfo),
    /// A map by name; of messages, or of anything.
    MapOf(Option<&'static MessageInfo>),
    Unknown,
}

/// How a field merges.
struct Rule {
    schema: Schema,
    /// Items merge.
    merges: bool,
    /// What tells items apart; empty for plain values.
    key: &'static str,
    /// Messages are replaced as a whole.
    replaces: bool,
}

impl Schema {
    fn of(info: &'static MessageInfo) -> Self {
        if info.form == Form::Plain { Self::Message(info) } else { Self::Unknown }
    }

    fn rule(self, name: &str) -> Rule {
        match self {
            Self::Message(info) => info.find(name).map_or(Rule::PLAIN, |(_, field)| Rule::of(field)),
            Self::MapOf(Some(info)) => Rule { schema: Self::of(info), ..Rule::PLAIN },
            Self::MapOf(None) | Self::Unknown => Rule::PLAIN,
        }
    }
}

impl Rule {
    const PLAIN: Self = Self { schema: Schema::Unknown, merges: false, key: "", replaces: false };

    fn of(field: &'static FieldInfo) -> Self {
        let schema = match (field.label, field.message()) {
            (Label::Map, message) => Schema::MapOf(message),
            (_, Some(info)) => Schema::of(info),
            (_, None) => Schema::Unknown,
        };
        let replaces = field.patch_strategy.split(',').any(|strategy| strategy == "replace");
        Self { schema, merges: field.merges(), key: field.patch_merge_key, replaces }
    }
}

pub fn apply(object: &mut Value, patch: &Value, info: &'static MessageInfo) -> Result<(), Error> {
    let Value::Object(patch) = patch else {
        return Err(Error::Malformed(format!(
            "error decoding patch: expected an object, got {}",
            super::kind_of(patch)
        )));
    };
    let Value::Object(original) = object else {
        return Err(Error::Malformed("the object is no map".to_owned()));
    };
    let merged = map(std::mem::take(original), patch.clone(), Schema::Message(info))?;
    *object = Value::Object(merged);
    Ok(())
}

fn map(mut original: Tree, mut patch: Tree, schema: Schema) -> Result<Tree, Error> {
    match patch.remove(PATCH) {
        None => {}
        Some(Value::String(directive)) => match directive.as_str() {
            "replace" => return Ok(without_directives(patch)),
            "delete" => return Ok(Tree::new()),
            "merge" => {}
            other => return Err(Error::Directive(format!("unknown patch type: {other} in map"))),
        },
        Some(other) => return Err(Error::Directive(format!("unknown patch type: {other} in map"))),
    }
    retain_keys(&mut original, &mut patch)?;
    order_lists(&mut original, &mut patch, schema)?;
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix(DELETE_PREFIX) {
            delete_values(&mut original, field, &value)?;
            continue;
        }
        let rule = schema.rule(&name);
        match (original.remove(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::Object(old)), Value::Object(new)) if !rule.replaces => {
                original.insert(name, Value::Object(map(old, new, rule.schema)?));
            }
            (Some(Value::Array(old)), Value::Array(new)) if rule.merges => {
                original.insert(name, Value::Array(list(old, new, &rule)?));
            }
            (_, value) => {
                if let Some(value) = clean(value) {
                    original.insert(name, value);
                }
            }
        }
    }
    Ok(original)
}

/// Drops what `$retainKeys` does not name; everything the patch sets must be named.
fn retain_keys(original: &mut Tree, patch: &mut Tree) -> Result<(), Error> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else {
        return Err(Error::Directive("invalid patch: $retainKeys must be a list".to_owned()));
    };
    let named = |name: &str| keys.iter().any(|key| key.as_str() == Some(name));
    let unnamed = patch.iter().find(|(name, value)| !value.is_null() && !name.starts_with('$') && !named(name));
    if let Some((name, _)) = unnamed {
        return Err(Error::Directive(format!("invalid patch: {name} is not in $retainKeys")));
    }
    original.retain(|name, _| named(name));
    Ok(())
}

/// Merges the lists that come with an order, and puts them into it.
fn order_lists(original: &mut Tree, patch: &mut Tree, schema: Schema) -> Result<(), Error> {
    let orders: Vec<String> = patch.keys().filter(|name| name.starts_with(ORDER_PREFIX)).cloned().collect();
    for directive in orders {
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(Error::Directive(format!("invalid patch: {directive} must be a list")));
        };
        let field = directive[ORDER_PREFIX.len()..].to_owned();
        let rule = schema.rule(&field);
        if let Some(value) = patch.remove(&format!("{DELETE_PREFIX}{field}")) {
            delete_values(original, &field, &value)?;
        }
        let old = match original.get(&field) {
            Some(Value::Array(old)) => Some(old.clone()),
            _ => None,
        };
        // null and other replacements are not for ordering: leave them to the general rules.
        if patch.get(&field).is_some_and(|value| !value.is_array()) {
            continue;
        }
        let new = match patch.remove(&field) {
            Some(Value::Array(new)) => Some(new),
            _ => None,
        };
        let merged = match (old.clone(), new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (old, Some(new)) => list(old.unwrap_or_default(), new, &rule)?,
        };
        original.insert(field, Value::Array(ordered(merged, &order, &old.unwrap_or_default(), rule.key)));
    }
    Ok(())
}

fn delete_values(original: &mut Tree, field: &str, value: &Value) -> Result<(), Error> {
    let Value::Array(values) = value else {
        return Err(Error::Directive(format!("invalid patch: {DELETE_PREFIX}{field} must be a list")));
    };
    if let Some(Value::Array(items)) = original.get_mut(field) {
        items.retain(|item| !values.contains(item));
        if items.is_empty() {
            original.remove(field);
        }
    }
    Ok(())
}

/// Merges a list of messages by key, or of plain values as a set; the patch's order counts for what the patch names.
fn list(old: Vec<Value>, new: Vec<Value>, rule: &Rule) -> Result<Vec<Value>, Error> {
    let before = old.clone();
    if rule.key.is_empty() {
        let mut merged = old;
        for value in &new {
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
        return Ok(ordered(merged, &new, &before, ""));
    }
    let (mut merged, mut plain, mut replace) = (old, Vec::new(), false);
    for item in new {
        let Value::Object(item) = item else {
            return Err(Error::Directive("a list that merges by key holds an item that is no map".to_owned()));
        };
        match item.get(PATCH).and_then(Value::as_str) {
            None if !item.contains_key(PATCH) => plain.push(item),
            Some("delete") => {
                let key = key_of(&item, rule.key)?;
                merged.retain(|item| item.get(rule.key) != Some(&key));
            }
            Some("replace") => replace = true,
            _ => {
                let found = &item[PATCH];
                return Err(Error::Directive(format!("unknown patch type: {found} in a list item")));
            }
        }
    }
    if replace {
        return Ok(plain.into_iter().map(|item| Value::Object(without_directives(item))).collect());
    }
    let order: Vec<Value> = plain.iter().cloned().map(Value::Object).collect();
    for item in plain {
        let key = key_of(&item, rule.key)?;
        match merged.iter_mut().find(|old| old.get(rule.key) == Some(&key)) {
            Some(Value::Object(old)) => *old = map(std::mem::take(old), item, rule.schema)?,
            _ => merged.push(Value::Object(map(Tree::new(), item, rule.schema)?)),
        }
    }
    Ok(ordered(merged, &order, &before, rule.key))
}

fn key_of(item: &Tree, key: &str) -> Result<Value, Error> {
    let missing =
        || Error::Directive(format!("map: {} does not contain declared merge key: {key}", Value::Object(item.clone())));
    item.get(key).cloned().ok_or_else(missing)
}

/// Where an item stands in an order; plain values are their own key.
fn place(order: &[Value], item: &Value, key: &str) -> Option<usize> {
    if key.is_empty() {
        return order.iter().position(|other| other == item);
    }
    let wanted = item.get(key)?;
    order.iter().position(|other| other.get(key) == Some(wanted))
}

/// Items named by the order come in it; the others keep their places among them as in the list before.
fn ordered(items: Vec<Value>, order: &[Value], before: &[Value], key: &str) -> Vec<Value> {
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| place(order, item, key).is_some());
    named.sort_by_key(|item| place(order, item, key));
    others.sort_by_key(|item| place(before, item, key).unwrap_or(usize::MAX));
    let mut merged = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(name), Some(other)) = (named.peek(), others.peek()) {
        let first = match (place(before, other, key), place(before, name, key)) {
            (Some(other), Some(name)) => other < name,
            _ => false,
        };
        merged.extend(if first { others.next() } else { named.next() });
    }
    merged.extend(named);
    merged.extend(others);
    merged
}

/// A value that has nothing to merge with: without directives, and without the nulls that would remove something.
fn clean(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        // As upstream: a map that says how to be merged, and has nothing to be merged with, adds nothing.
        Value::Object(map) if map.contains_key(PATCH) => Some(Value::Object(Tree::new())),
        Value::Object(map) => Some(Value::Object(without_directives(map))),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(clean_item).collect())),
        plain => Some(plain),
    }
}

fn clean_item(item: Value) -> Option<Value> {
    match item {
        Value::Object(map) if map.contains_key(PATCH) => None,
        Value::Null => Some(Value::Null),
        item => clean(item),
    }
}

fn without_directives(map: Tree) -> Tree {
    map.into_iter()
        .filter(|(name, _)| {
            name != PATCH && name != RETAIN_KEYS && !name.starts_with(DELETE_PREFIX) && !name.starts_with(ORDER_PREFIX)
        })
        .filter_map(|(name, value)| Some((name, clean(value)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proto::Kind;
    use proto::core::v1::Pod;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(before: Value, patch: Value, expect: Value) {
        let mut object = before;
        apply(&mut object, &patch, Pod::info()).expect("a patch");
        assert_eq!(object, expect);
    }

    #[test]
    fn containers_merge_by_name() {
        check(
            json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}}),
            json!({"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}),
            json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}}),
        );
        check(
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}),
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "2"}]}}),
            json!({"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "a"}]}}),
        );
        check(
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}),
            json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}),
            json!({"spec": {"containers": [{"name": "b"}]}}),
        );
        check(
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}),
            json!({"spec": {"containers": [{"name": "z"}]}}),
        );
    }

    #[test]
    fn plain_values_merge_as_a_set() {
        check(
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}),
            json!({"metadata": {"finalizers": ["c", "b"]}}),
        );
        check(
            json!({"spec": {"tolerations": [{"key": "a"}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}]}}),
        );
    }

    #[test]
    fn directives_are_checked() {
        let mut object = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}});
        for patch in [
            json!({"metadata": {"$patch": "frob"}}),
            json!({"spec": {"containers": [{"image": "x"}]}}),
            json!({"metadata": {"$retainKeys": ["name"], "labels": {}}}),
        ] {
            assert!(matches!(apply(&mut object, &patch, Pod::info()), Err(Error::Directive(_))), "{patch}");
            object = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}});
        }
    }

    #[test]
    fn new_values_lose_their_nulls_and_directives() {
        check(
            json!({}),
            json!({"metadata": {"labels": {"a": null, "b": "c"}, "annotations": {"$patch": "replace", "x": "y"}}}),
            json!({"metadata": {"labels": {"b": "c"}, "annotations": {}}}),
        );
    }
}
