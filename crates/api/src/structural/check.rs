//! A value against its schema, as upstream judges it: which conditions are looked at, in which order, and what is said.
//!
//! Rules in CEL, lists' keys and embedded objects are judged elsewhere. What is unchanged since the old object and
//! can be found in it again is not refused a second time (upstream: validation ratcheting).

use serde_json::{Map, Value};

use super::correlate;
use super::format;
use super::node::{Additional, Checks, Kind, Node};
use super::number::{Real, float};
use super::place::Place;
use super::prune::OBJECT_FIELDS;
use super::show::{show, shown};
use crate::validate::FieldError;
use crate::validate::Reason;

/// What was found.
#[derive(Default)]
pub struct Found {
    pub errors: Vec<FieldError>,
    /// How many conditions were looked at and met: of alternatives that all fail, the one with most is told.
    met: usize,
}

impl Found {
    fn merge(&mut self, other: Self) {
        self.met += other.met;
        for error in other.errors {
            self.push(error);
        }
    }

    fn push(&mut self, error: FieldError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn invalid(&mut self, place: &Place<'_>, value: String, why: impl std::fmt::Display) {
        let detail = format!("{} in body {why}", place.name());
        self.push(FieldError { reason: Reason::Invalid, field: place.field(), value, detail });
    }

    fn wrong_type(&mut self, place: &Place<'_>, wanted: &str, found: &str) {
        let found = shown(found);
        let detail = format!("{} in body must be of type {wanted}: {found}", place.name());
        self.push(FieldError { reason: Reason::TypeInvalid, field: place.field(), value: found, detail });
    }

    /// What is said of the whole object, though it concerns one place.
    fn general(&mut self, place: &Place<'_>, detail: String) {
        self.push(FieldError { reason: Reason::Invalid, field: place.top().field(), value: shown(""), detail });
    }
}

/// Judges a value. The old value is `None` where there is none, or none that can be found again.
pub fn check(node: &Node, value: &Value, old: Option<&Value>, place: &Place<'_>) -> Found {
    let mut found = Found::default();
    let typed = kind(node, value, place, &mut found);
    if typed {
        found.met += 1;
    }
    let checks = node.checks.as_deref();
    if value.is_null() {
        if let Some(checks) = checks {
            allowed(checks, value, place, &mut found);
        }
        return found;
    }
    if let Some(checks) = checks {
        logic(checks, value, place, &mut found);
        match value {
            Value::String(text) => self::text(node, checks, text, place, &mut found),
            Value::Number(number) => self::number(node, checks, Real::of(number), place, &mut found),
            _ => {}
        }
    }
    if let Value::Array(items) = value {
        list(node, items, old, place, &mut found);
    }
    if let Some(checks) = checks {
        allowed(checks, value, place, &mut found);
    }
    if let Value::Object(fields) = value {
        object(node, fields, old, place, &mut found);
    }
    found.met += 1;
    found
}

/// The name of a value's type, and of its format.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) => match Real::of(number) {
            Real::Whole(_) => ("integer", "int64"),
            Real::Float(_) => ("number", "double"),
        },
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

/// True where the type is right.
fn kind(node: &Node, value: &Value, place: &Place<'_>, found: &mut Found) -> bool {
    let wanted = if node.int_or_string { "integer,string" } else { node.kind.word() };
    if wanted.is_empty() || (value.is_null() && node.nullable) {
        return true;
    }
    let (name, shape) = type_of(value);
    let whole = matches!(value, Value::Number(number) if Real::of(number).is_whole());
    let fits = wanted
        .split(',')
        .any(|wanted| wanted == name || (wanted == "integer" && whole) || (wanted == "number" && name == "integer"));
    if fits {
        return true;
    }
    let checks = node.checks.as_deref();
    let named = checks.map(|checks| &*checks.format).filter(|format| format::known(node.kind, format));
    match named {
        Some(format) if !matches!(value, Value::Null | Value::String(_) | Value::Array(_)) => {
            found.wrong_type(place, format, shape);
        }
        _ => found.wrong_type(place, wanted, name),
    }
    false
}

fn allowed(checks: &Checks, value: &Value, place: &Place<'_>, found: &mut Found) {
    if checks.allowed.is_empty() {
        return;
    }
    if checks.allowed.iter().any(|one| same(one, value)) {
        found.met += 1;
        return;
    }
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let words: Vec<String> = checks.allowed.iter().map(|one| shown(&word(one))).collect();
    let detail = format!("supported values: {}", words.join(", "));
    found.push(FieldError { reason: Reason::NotSupported, field: place.field(), value: show(value), detail });
}

/// Equal values; numbers by what they count.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => Real::of(one).float() == Real::of(other).float(),
        _ => one == other,
    }
}

fn beyond(limit: Option<i64>, count: usize) -> Option<usize> {
    limit.map(|limit| usize::try_from(limit).unwrap_or(0)).filter(|limit| count > *limit)
}

fn below(limit: Option<i64>, count: usize) -> Option<usize> {
    limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| count < *limit)
}

fn text(node: &Node, checks: &Checks, text: &str, place: &Place<'_>, found: &mut Found) {
    let count = text.chars().count();
    if let Some(most) = beyond(checks.max_length, count) {
        found.push(FieldError::too_long(place.field(), most));
    } else if let Some(least) = below(checks.min_length, count) {
        found.invalid(place, shown(text), format_args!("should be at least {least} chars long"));
    } else if let Some(pattern) = checks.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
        found.invalid(place, shown(text), format_args!("should match '{}'", pattern.text));
    } else {
        found.met += 1;
    }
    if format::known(node.kind, &checks.format) && matches!(node.kind, Kind::String | Kind::Any) {
        if format::fits(&checks.format, text) {
            found.met += 1;
        } else {
            found.wrong_type(place, &checks.format, text);
        }
    }
}

fn number(node: &Node, checks: &Checks, number: Real, place: &Place<'_>, found: &mut Found) {
    if let Some(step) = checks.multiple_of.filter(|step| !multiple(number, *step)) {
        found.invalid(place, number.text(), format_args!("should be a multiple of {}", bound(number, step)));
    }
    if let Some(most) = checks.maximum {
        let strict = checks.exclusive_maximum;
        if number.float() > most || (strict && number.float() >= most) {
            let than = if strict { "than" } else { "than or equal to" };
            found.invalid(place, number.text(), format_args!("should be less {than} {}", bound(number, most)));
        }
    }
    if let Some(least) = checks.minimum {
        let strict = checks.exclusive_minimum;
        if number.float() < least || (strict && number.float() <= least) {
            let than = if strict { "than" } else { "than or equal to" };
            found.invalid(place, number.text(), format_args!("should be greater {than} {}", bound(number, least)));
        }
    }
    let (word, format) = (node.kind.word(), &*checks.format);
    let fits = match (node.kind, format) {
        (Kind::Integer, "int32") => i32::try_from(number.float() as i64).is_ok_and(|_| number.is_whole()),
        (Kind::Number, "float") => number.float().abs() <= f64::from(f32::MAX),
        _ => true,
    };
    if !fits {
        let why = format!("Checked value must be of type {word} with format {format} in {}", place.name());
        found.general(place, why);
    }
    found.met += 1;
}

/// A bound as it is shown beside a number of that form.
#[allow(clippy::cast_possible_truncation, reason = "a bound of whole numbers is shown whole")]
fn bound(number: Real, bound: f64) -> String {
    match number {
        Real::Whole(_) if bound.fract() == 0.0 && bound.abs() < 9.2e18 => (bound as i64).to_string(),
        _ => float(bound),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "only whole steps are made whole")]
fn multiple(number: Real, step: f64) -> bool {
    if step <= 0.0 {
        return true;
    }
    match number {
        Real::Whole(number) if step.fract() == 0.0 => number % (step as i64).max(1) == 0,
        _ if step < 1.0 => Real::Float((1.0 / step) * number.float()).is_whole(),
        _ => Real::Float(number.float() / step).is_whole(),
    }
}

fn list(node: &Node, items: &[Value], old: Option<&Value>, place: &Place<'_>, found: &mut Found) {
    if let Some(inner) = node.items.as_deref() {
        let before = correlate::items(node, old);
        for (index, item) in items.iter().enumerate() {
            let was = before.get(index, item);
            child(inner, item, was, &Place::Item(place, index), found);
        }
    }
    let Some(checks) = node.checks.as_deref() else { return };
    if let Some(least) = below(checks.min_items, items.len()) {
        found.invalid(place, items.len().to_string(), format_args!("should have at least {least} items"));
    }
    if let Some(most) = beyond(checks.max_items, items.len()) {
        found.push(FieldError::too_many(place.field(), items.len(), most));
    }
    if checks.unique_items && items.iter().enumerate().any(|(index, item)| items[..index].contains(item)) {
        found.invalid(place, shown(""), "shouldn't contain duplicates");
    }
    found.met += 1;
}

fn object(node: &Node, fields: &Map<String, Value>, old: Option<&Value>, place: &Place<'_>, found: &mut Found) {
    let checks = node.checks.as_deref();
    if let Some(checks) = checks {
        if let Some(least) = below(checks.min_properties, fields.len()) {
            let why = format_args!("should have at least {least} properties");
            found.invalid(place, fields.len().to_string(), why);
            return;
        }
        if let Some(most) = beyond(checks.max_properties, fields.len()) {
            found.push(FieldError::too_many(place.field(), fields.len(), most));
            return;
        }
    }
    let before = correlate::fields(node, old);
    for (name, value) in fields {
        let was = before.and_then(|before| before.get(name));
        let (inner, at) = match (node.property(name), &node.additional) {
            (Some(property), _) => (property, Place::Field(place, name)),
            (None, Additional::Of(inner)) => (&**inner, Place::Entry(place, name)),
            (None, Additional::Nothing) => {
                let detail = format!("{}.{name} in body is a forbidden property", place.name());
                let field = place.field();
                found.push(FieldError { reason: Reason::Invalid, field, value: shown(name), detail });
                continue;
            }
            _ => continue,
        };
        // An object's own fields are judged each time.
        let was = was.filter(|_| !(place.is_root() && OBJECT_FIELDS.contains(&name.as_str())));
        child(inner, value, was, &at, found);
    }
    for name in checks.iter().flat_map(|checks| &checks.required) {
        let filled = node.property(name).is_some_and(|property| property.default.is_some());
        if !fields.contains_key(&**name) && !filled {
            found.push(FieldError::required(Place::Entry(place, name).field(), ""));
        }
    }
    found.met += 1;
}

fn child(node: &Node, value: &Value, old: Option<&Value>, place: &Place<'_>, found: &mut Found) {
    let mut inner = check(node, value, old, place);
    if !inner.errors.is_empty() && old == Some(value) {
        inner.errors.clear();
    }
    found.merge(inner);
}

/// Alternatives and their like. Nothing below them is compared with the old object.
fn logic(checks: &Checks, value: &Value, place: &Place<'_>, found: &mut Found) {
    let try_one = |node: &Node| check(node, value, None, place);
    if !checks.any_of.is_empty() {
        let (best, passed) = alternatives(&checks.any_of, true, &try_one);
        if passed == 0 {
            found.general(place, format!("{} must validate at least one schema (anyOf)", shown(&place.name())));
        }
        found.merge(best);
    }
    if !checks.one_of.is_empty() {
        let (best, passed) = alternatives(&checks.one_of, false, &try_one);
        if passed != 1 {
            let how = match passed {
                0 => "Found none valid".to_owned(),
                many => format!("Found {many} valid alternatives"),
            };
            let name = shown(&place.name());
            found.general(place, format!("{name} must validate one and only one schema (oneOf). {how}"));
        }
        if passed < 2 {
            found.merge(best);
        }
    }
    let mut passed = 0;
    for node in &checks.all_of {
        let one = try_one(node);
        passed += usize::from(one.errors.is_empty());
        found.merge(one);
    }
    if passed != checks.all_of.len() {
        let how = if passed == 0 { ". None validated" } else { "" };
        found.general(place, format!("{} must validate all the schemas (allOf){how}", shown(&place.name())));
    }
    if checks.not.as_ref().is_some_and(|node| try_one(node).errors.is_empty()) {
        found.general(place, format!("{} must not validate the schema (not)", shown(&place.name())));
    }
    found.met += 1;
}

/// The first alternative that passes, or the one that comes nearest, and how many pass (one at most, where one is enough).
fn alternatives(nodes: &[Node], enough: bool, try_one: &dyn Fn(&Node) -> Found) -> (Found, usize) {
    let mut best: Option<Found> = None;
    let mut passed = 0;
    for node in nodes {
        let one = try_one(node);
        if one.errors.is_empty() {
            passed += 1;
            if passed == 1 {
                best = Some(one);
            }
            if enough {
                break;
            }
        } else if passed == 0 && best.as_ref().is_none_or(|best| one.met > best.met) {
            best = Some(one);
        }
    }
    (best.unwrap_or_default(), passed)
}
