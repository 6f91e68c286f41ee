//! Names of fields as expressions write them: what is no CEL name, or a word of CEL, is escaped as Kubernetes does it.

use crate::parse::is_reserved;

/// How an expression writes a field of this name; none where it cannot.
pub fn escape(name: &str) -> Option<String> {
    if is_reserved(name) {
        return Some(format!("__{name}__"));
    }
    if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let mut made = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("__") {
            made.push_str("__underscores__");
            rest = after;
            continue;
        }
        match letter {
            '-' => made.push_str("__dash__"),
            '.' => made.push_str("__dot__"),
            '/' => made.push_str("__slash__"),
            _ if letter.is_ascii_alphanumeric() || letter == '_' => made.push(letter),
            _ => return None,
        }
        rest = &rest[letter.len_utf8()..];
    }
    Some(made)
}

/// The field that an expression's name stands for.
pub fn unescape(name: &str) -> String {
    if let Some(word) = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"))
        && is_reserved(word)
    {
        return word.to_owned();
    }
    let mut made = String::with_capacity(name.len());
    let mut rest = name;
    let known = [("__underscores__", "__"), ("__dash__", "-"), ("__dot__", "."), ("__slash__", "/")];
    while let Some(letter) = rest.chars().next() {
        match known.iter().find_map(|(escaped, plain)| rest.strip_prefix(escaped).map(|after| (plain, after))) {
            Some((plain, after)) => {
                made.push_str(plain);
                rest = after;
            }
            None => {
                made.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_found_again() {
        for (name, escaped) in [
            ("a", Some("a")),
            ("if", Some("__if__")),
            ("in", Some("__in__")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("a__b", Some("a__underscores__b")),
            ("_x", Some("_x")),
            ("$ref", None),
            ("1a", None),
            ("", None),
        ] {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
            if let Some(escaped) = escaped {
                assert_eq!(unescape(escaped), name);
            }
        }
    }
}
