//! Compares an answer with the recorded one, where placeholders stand for what a server chooses.

use serde_json::Value;
use test_goldens::request::causes;

/// The first difference; a placeholder stands for anything that is there.
pub fn difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::String(pattern), found) if pattern.contains('<') => {
            (!matches(pattern, found)).then(|| format!("{path}: expected {pattern}, found {found}"))
        }
        (Value::Object(expected), Value::Object(found)) => {
            for (key, value) in expected {
                let here = format!("{path}.{key}");
                let Some(other) = found.get(key) else { return Some(format!("{here}: missing, expected {value}")) };
                if let Some(difference) = difference(&here, value, other) {
                    return Some(difference);
                }
            }
            let extra = found.iter().find(|(key, _)| !expected.contains_key(*key));
            extra.map(|(key, value)| format!("{path}.{key}: not expected, found {value}"))
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(index, (expected, found))| difference(&format!("{path}[{index}]"), expected, found)),
        (Value::Array(expected), Value::Array(found)) => {
            let first = expected.iter().zip(found).enumerate();
            let first =
                first.map(|(index, (expected, found))| difference(&format!("{path}[{index}]"), expected, found));
            let first = first.flatten().next().unwrap_or_default();
            Some(format!("{path}: expected {} items, found {}; {first}", expected.len(), found.len()))
        }
        (expected, found) if expected == found => None,
        (expected, found) => Some(format!("{path}: expected {expected}, found {found}")),
    }
}

/// `kube-api-access-<suffix>` stands for that beginning with any end.
fn matches(pattern: &str, found: &Value) -> bool {
    let text = match found {
        Value::String(text) => text.clone(),
        Value::Null => return false,
        other => other.to_string(),
    };
    let mut rest = text.as_str();
    let mut parts = pattern.split('<');
    let begin = parts.next().unwrap_or_default();
    let Some(tail) = rest.strip_prefix(begin) else { return false };
    rest = tail;
    for part in parts {
        let literal = part.split_once('>').map_or("", |(_, literal)| literal);
        match rest.find(literal) {
            Some(at) if !literal.is_empty() => rest = &rest[at + literal.len()..],
            _ if literal.is_empty() => rest = "",
            _ => return false,
        }
    }
    true
}

/// A refusal: code, reason, what it is about, and reason and field of each cause.
pub fn refusal(expected: &Value, code: i64, found: &Value) -> Option<String> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    if found["code"].as_i64() != Some(code) || text(found, "reason") != text(expected, "reason") {
        return Some(format!(
            "expected {code} {} ({}), found {} {} ({})",
            text(expected, "reason"),
            text(expected, "message"),
            found["code"],
            text(found, "reason"),
            text(found, "message")
        ));
    }
    for field in ["name", "group", "kind"] {
        let (wanted, got) = (text(&expected["details"], field), text(&found["details"], field));
        let same = if wanted.contains('<') { matches(&wanted, &Value::from(got.clone())) } else { wanted == got };
        if !same {
            return Some(format!("details.{field}: expected {wanted:?}, found {got:?}"));
        }
    }
    let (wanted, got) = (causes(expected), causes(found));
    (wanted != got).then(|| format!("causes: expected {wanted:?}, found {got:?}"))
}
