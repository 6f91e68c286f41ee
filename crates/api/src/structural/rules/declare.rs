//! What CEL knows of a value from its schema: its type, and how large it may be.
//!
//! Sizes that a schema does not bound are bounded by the largest request, as upstream reckons it.

use std::sync::Arc;

use cel::cost::REQUEST_BYTES_MAX;
use cel::types::{Field, ListKind, Object};
use cel::{Decl, Type, escape};

use crate::structural::node::{Additional, Checks, Kind, Merge, Node};

/// The longest texts of times and durations, with their quotes.
const TIME_BYTES_MAX: u64 = 32;
const DATE_BYTES_MAX: u64 = 12;
/// A text or list takes two bytes beside what is in it.
const AROUND: u64 = 2;

/// The declaration of a node's values; none where nothing is known of them. A whole object has its type and name, too.
pub fn declared(node: &Node, whole: bool) -> Option<Arc<Decl>> {
    named(node, whole, "object").map(Arc::new)
}

fn named(node: &Node, whole: bool, name: &str) -> Option<Decl> {
    let checks = node.checks.as_deref();
    if node.int_or_string {
        return Some(Decl::sized(Type::Dyn, longest(checks).unwrap_or(REQUEST_BYTES_MAX - AROUND)));
    }
    let count = |bound: Option<i64>| bound.map(|bound| u64::try_from(bound).unwrap_or(0));
    match node.kind {
        Kind::Any => None,
        Kind::Boolean => Some(Decl::scalar(Type::Bool)),
        Kind::Integer => Some(Decl::scalar(Type::Int)),
        Kind::Number => Some(Decl::scalar(Type::Double)),
        Kind::String => Some(text(checks)),
        Kind::Array => {
            let items = node.items.as_deref()?;
            let inner = named(items, items.embedded, &format!("{name}.@items"))?;
            let most = (REQUEST_BYTES_MAX - AROUND) / (inner.min_bytes + 1);
            let max = count(checks.and_then(|checks| checks.max_items)).unwrap_or(most);
            let kind = match node.merge {
                Merge::Set => ListKind::Set,
                Merge::Keyed => ListKind::Map(node.keys.iter().map(|key| (**key).into()).collect()),
                _ => ListKind::Atomic,
            };
            Some(Decl::list(Arc::new(inner), kind, max))
        }
        Kind::Object => match &node.additional {
            Additional::Of(values) => {
                let inner = named(values, values.embedded, &format!("{name}.@values"))?;
                // A key has quotes, a colon and a comma.
                let most = (REQUEST_BYTES_MAX - AROUND) / (inner.min_bytes + 6);
                let max = count(checks.and_then(|checks| checks.max_properties)).unwrap_or(most);
                Some(Decl::map(Arc::new(inner), max))
            }
            _ => Some(object(node, whole, name)),
        },
    }
}

/// The most characters that a schema allows.
fn bound(checks: Option<&Checks>) -> Option<u64> {
    checks.and_then(|checks| checks.max_length).map(|bound| u64::try_from(bound).unwrap_or(0))
}

/// The most bytes that a text of so many characters may have.
fn longest(checks: Option<&Checks>) -> Option<u64> {
    bound(checks).map(|bound| bound.saturating_mul(4))
}

fn text(checks: Option<&Checks>) -> Decl {
    let format = checks.map_or("", |checks| &*checks.format);
    let any = REQUEST_BYTES_MAX - AROUND;
    match format {
        "byte" => Decl::sized(Type::Bytes, bound(checks).unwrap_or(any)),
        "duration" => Decl::sized(Type::Duration, TIME_BYTES_MAX),
        "date" => Decl { min_bytes: DATE_BYTES_MAX, ..Decl::sized(Type::Timestamp, DATE_BYTES_MAX) },
        "date-time" => Decl::sized(Type::Timestamp, TIME_BYTES_MAX),
        _ => {
            let allowed = checks.and_then(|checks| {
                checks.allowed.iter().filter_map(|value| value.as_str()).map(|text| text.len() as u64).max()
            });
            Decl::sized(Type::String, longest(checks).or(allowed).unwrap_or(any))
        }
    }
}

fn object(node: &Node, whole: bool, name: &str) -> Decl {
    let mut fields = Vec::new();
    let mut min_bytes = AROUND;
    let required = |name: &str| {
        let checks = node.checks.as_deref();
        checks.is_some_and(|checks| checks.required.iter().any(|one| **one == *name))
    };
    for (field, property) in &node.properties {
        if whole && matches!(&**field, "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let Some(decl) = named(property, property.embedded, &format!("{name}.{field}")) else { continue };
        if required(field) && property.default.is_none() {
            min_bytes += field.len() as u64 + decl.min_bytes + 4;
        }
        fields.extend(self::field(field, decl));
    }
    if whole {
        let text = || Decl::sized(Type::String, REQUEST_BYTES_MAX - AROUND);
        let named = ["name", "generateName"].into_iter().filter_map(|name| self::field(name, text()));
        let metadata = Decl::object(Object::new(format!("{name}.metadata"), named.collect()), AROUND);
        fields.extend(self::field("apiVersion", text()));
        fields.extend(self::field("kind", text()));
        fields.extend(self::field("metadata", metadata));
    }
    Decl::object(Object::new(name, fields), min_bytes)
}

/// A field as expressions write it; none where they cannot.
fn field(name: &str, decl: Decl) -> Option<Field> {
    let escaped = escape::escape(name)?;
    Some(Field { name: escaped.into(), json: name.into(), decl: Arc::new(decl) })
}
