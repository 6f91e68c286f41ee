//! Field selectors: `metadata.name=a,status.phase!=Running`, judged on fields reached through the schema tables.

use std::fmt;

use proto::reflect::{Ref, Reflect};

use super::Error;

/// Every requirement must hold; none: everything is selected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One field compared with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// JSON path: `spec.nodeName`.
    pub field: String,
    pub value: String,
    /// False for `!=`.
    pub equal: bool,
}

impl Selector {
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads a selector text; an empty one selects everything. `\,`, `\=` and `\\` stand for themselves in values.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut requirements = Vec::new();
        for part in split(text).into_iter().filter(|part| !part.is_empty()) {
            let (field, value, equal) = parts(part).ok_or_else(|| Error::Field(text.to_owned(), part.to_owned()))?;
            let value = unescape(value).ok_or_else(|| Error::Field(text.to_owned(), part.to_owned()))?;
            requirements.push(Requirement { field: field.to_owned(), value, equal });
        }
        Ok(Self { requirements })
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that a field must have, where the selector fixes it.
    pub fn required_value(&self, field: &str) -> Option<&str> {
        let found = self.requirements.iter().find(|requirement| requirement.equal && requirement.field == field);
        found.map(|requirement| requirement.value.as_str())
    }

    pub fn matches(&self, object: &dyn Reflect) -> bool {
        self.matches_with(|field| value_at(object, field))
    }

    /// As [`Selector::matches`], with another way to find a field's value.
    pub fn matches_with(&self, value: impl Fn(&str) -> Option<String>) -> bool {
        self.requirements.iter().all(|requirement| {
            let found = value(&requirement.field).unwrap_or_default();
            (found == requirement.value) == requirement.equal
        })
    }
}

/// The text of a scalar field at a JSON path; `None` where the schema has no such scalar.
pub fn value_at(object: &dyn Reflect, path: &str) -> Option<String> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let (steps, _) = object.message().find(first)?;
    let mut value = Ref::Message(object);
    for step in steps.steps() {
        let Ref::Message(message) = value else { return Some(String::new()) };
        value = message.get(step);
    }
    match (value, rest) {
        (Ref::Message(message), Some(rest)) => value_at(message, rest),
        (Ref::String(text), None) => Some(text.to_owned()),
        (Ref::Bool(value), None) => Some(value.to_string()),
        (Ref::Int32(value), None) => Some(value.to_string()),
        (Ref::Int64(value), None) => Some(value.to_string()),
        (Ref::Unset, _) => Some(String::new()),
        _ => None,
    }
}

/// Splits at commas that no backslash stands before.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// Field, value, and whether they are to be equal.
fn parts(text: &str) -> Option<(&str, &str, bool)> {
    let at = text.find(['=', '!'])?;
    let (field, rest) = text.split_at(at);
    for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some(value) = rest.strip_prefix(sign) {
            return Some((field, value, equal));
        }
    }
    None
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().filter(|next| matches!(next, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            c => plain.push(c),
        }
    }
    Some(plain)
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { field, value, equal }) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let sign = if *equal { "=" } else { "!=" };
            let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{field}{sign}{value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proto::core::v1::Pod;

    use super::*;

    #[test]
    fn fields_are_reached_by_their_json_path() {
        let mut pod = Pod::default();
        pod.metadata.name = "a".to_owned();
        pod.spec.node_name = "n".to_owned();
        let matches = |text: &str| Selector::parse(text).expect("a selector").matches(&pod);
        assert!(matches("metadata.name=a,spec.nodeName==n"));
        assert!(matches("status.phase!=Running"));
        assert!(!matches("spec.nodeName="));
        assert_eq!(value_at(&pod, "spec.hostNetwork").as_deref(), Some("false"));
        assert_eq!(value_at(&pod, "spec.nothing"), None);
    }

    #[test]
    fn escapes_are_read_and_written() {
        let selector = Selector::parse(r"a=b\,c\=d\\").expect("a selector");
        assert_eq!(selector.requirements()[0].value, r"b,c=d\");
        assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        assert!(Selector::parse("a").is_err());
        assert!(Selector::parse("a=b=c").is_err());
    }
}
