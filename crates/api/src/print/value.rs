//! Reading an object's JSON by dotted paths; maps and selectors as text.

use serde_json::Value;

/// The value at a dotted path; null counts as absent.
pub fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, key| value.get(key)).filter(|value| !value.is_null())
}

pub fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    at(object, path).and_then(Value::as_str)
}

pub fn number(object: &Value, path: &str) -> i64 {
    at(object, path).and_then(Value::as_i64).unwrap_or_default()
}

pub fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The strings at a path of every item.
pub fn texts<'a>(items: &'a [Value], path: &str) -> Vec<&'a str> {
    items.iter().map(|item| text(item, path).unwrap_or_default()).collect()
}

/// A condition of `status.conditions`.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "status.conditions").iter().find(|condition| text(condition, "type") == Some(kind))
}

pub fn condition_is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| text(condition, "status") == Some("True"))
}

/// A number or string as it reads.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A map as `a=b,c=d`, sorted; `<none>` where it is empty.
pub fn join_map(map: Option<&Value>) -> String {
    let Some(map) = map.and_then(Value::as_object).filter(|map| !map.is_empty()) else { return "<none>".to_owned() };
    let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
    pairs.sort();
    pairs.join(",")
}

/// A LabelSelector as the text that selects the same: `app=a,tier in (x,y),!z`; `<none>` where it selects nothing in particular.
pub fn label_selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return "<none>".to_owned() };
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let mut parts: Vec<(String, String)> =
        labels.into_iter().flatten().map(|(key, value)| (key.clone(), format!("{key}={}", plain(value)))).collect();
    for expression in list(selector, "matchExpressions") {
        let key = text(expression, "key").unwrap_or_default();
        let mut values: Vec<&str> = list(expression, "values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let part = match text(expression, "operator").unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.push((key.to_owned(), part));
    }
    if parts.is_empty() {
        return "<none>".to_owned();
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    parts.into_iter().map(|part| part.1).collect::<Vec<_>>().join(",")
}

/// The first few of a list, and how many more there are: `a,b,c + 2 more...`.
pub fn shortened(items: &[String], max: usize, separator: &str) -> String {
    let shown = items.iter().take(max).cloned().collect::<Vec<_>>().join(separator);
    match items.len().saturating_sub(max) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_reads_like_a_query() {
        let selector = json!({"matchLabels": {"app": "a"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["y", "x"]}, {"key": "z", "operator": "DoesNotExist"}]});
        assert_eq!(label_selector(Some(&selector)), "app=a,tier in (x,y),!z");
        assert_eq!(label_selector(Some(&json!({}))), "<none>");
    }

    #[test]
    fn a_long_list_says_how_much_it_hides() {
        let items: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        assert_eq!(
            (shortened(&items, 3, ",").as_str(), shortened(&items, 4, ",").as_str()),
            ("a,b,c + 1 more...", "a,b,c,d")
        );
    }
}
