//! Small rules that many fields share. Each pushes what it finds wrong.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proto::meta::v1::LabelSelector;

use super::{FieldError, Path};
use crate::{int_or_string, name};

/// What was found wrong so far.
pub type Errors = Vec<FieldError>;

/// A text with a shape: one error for each thing wrong with it.
pub fn shape(errors: &mut Errors, path: Path<'_>, text: &str, rule: fn(&str) -> Vec<String>) {
    errors.extend(rule(text).into_iter().map(|why| FieldError::invalid(path, text, why)));
}

/// Something there, and of a shape.
pub fn required_shape(errors: &mut Errors, path: Path<'_>, text: &str, rule: fn(&str) -> Vec<String>) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        shape(errors, path, text, rule);
    }
}

/// Something there.
pub fn required(errors: &mut Errors, path: Path<'_>, text: &str) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
}

/// One of a few words.
pub fn one_of(errors: &mut Errors, path: Path<'_>, text: &str, words: &[&str]) {
    if !words.contains(&text) {
        errors.push(FieldError::not_supported(path, text, words));
    }
}

pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

pub fn not_negative(errors: &mut Errors, path: Path<'_>, value: i64) {
    if value < 0 {
        errors.push(FieldError::invalid(path, value, NOT_NEGATIVE));
    }
}

pub fn positive(errors: &mut Errors, path: Path<'_>, value: i64) {
    if value <= 0 {
        errors.push(FieldError::invalid(path, value, "must be greater than 0"));
    }
}

pub fn port(errors: &mut Errors, path: Path<'_>, value: i32) {
    errors.extend(name::port_number(value).into_iter().map(|why| FieldError::invalid(path, value, why)));
}

/// A port by number or by name.
pub fn port_or_name(errors: &mut Errors, path: Path<'_>, value: &proto::IntOrString) {
    if int_or_string::is_string(value) {
        shape(errors, path, &value.str_val, name::port_name);
    } else {
        port(errors, path, value.int_val);
    }
}

/// A count that is not negative, or a percentage.
pub fn count_or_percent(errors: &mut Errors, path: Path<'_>, value: &proto::IntOrString) {
    if !int_or_string::is_string(value) {
        not_negative(errors, path, i64::from(value.int_val));
    } else if int_or_string::percent(value).is_none() {
        let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
        errors.push(FieldError::invalid(path, value, why));
    }
}

/// An address in the form it has when written again: no leading zeros, no IPv4 inside IPv6.
pub fn ip(errors: &mut Errors, path: Path<'_>, text: &str) -> Option<IpAddr> {
    let found = text.parse::<IpAddr>().ok();
    if found.is_none() {
        errors.push(FieldError::invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    }
    found
}

pub fn absolute_path(errors: &mut Errors, path: Path<'_>, text: &str) {
    if !text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be an absolute path"));
    }
}

pub fn no_back_steps(errors: &mut Errors, path: Path<'_>, text: &str) {
    if text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, text, "must not contain '..'"));
    }
}

/// A path below a folder that cannot leave it.
pub fn local_path(errors: &mut Errors, path: Path<'_>, text: &str) {
    if text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be a relative path"));
    }
    no_back_steps(errors, path, text);
}

/// As [`local_path`], and not one of the names that atomic updates of a volume use.
pub fn local_free_path(errors: &mut Errors, path: Path<'_>, text: &str) {
    let before = errors.len();
    local_path(errors, path, text);
    if errors.len() == before && text.starts_with("..") {
        errors.push(FieldError::invalid(path, text, "must not start with '..'"));
    }
}

/// rwxrwxrwx and less.
pub fn mode(errors: &mut Errors, path: Path<'_>, mode: Option<i32>) {
    if let Some(mode) = mode
        && !(0..=0o777).contains(&mode)
    {
        errors.push(FieldError::invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive"));
    }
}

pub fn labels(errors: &mut Errors, path: Path<'_>, labels: &BTreeMap<String, String>) {
    for (key, value) in labels {
        shape(errors, path, key, name::qualified_name);
        shape(errors, path, value, name::label_value);
    }
}

/// A LabelSelector.
pub fn label_selector(errors: &mut Errors, path: Path<'_>, selector: &LabelSelector) {
    labels(errors, path.child("matchLabels"), &selector.match_labels);
    let expressions = path.child("matchExpressions");
    for (index, expression) in selector.match_expressions.iter().enumerate() {
        let path = expressions.index(index);
        let values = path.child("values");
        match expression.operator.as_str() {
            "In" | "NotIn" if expression.values.is_empty() => {
                errors.push(FieldError::required(values, "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if !expression.values.is_empty() => errors.push(FieldError::forbidden(
                values,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(FieldError::invalid(path.child("operator"), other, "not a valid selector operator"));
            }
        }
        shape(errors, path.child("key"), &expression.key, name::qualified_name);
        for (index, value) in expression.values.iter().enumerate() {
            shape(errors, values.index(index), value, name::label_value);
        }
    }
}
