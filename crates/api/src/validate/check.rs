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
    match found {
        None => {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(path, text, why));
        }
        Some(address) if is_mapped(&address) => {
            errors.push(FieldError::invalid(path, text, "must not be an IPv4-mapped IPv6 address"));
        }
        Some(_) => {}
    }
    found
}

/// An IPv4 address in an IPv6 address' clothes.
fn is_mapped(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
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
    local_path(errors, path, text);
    if text.starts_with("..") && !text.starts_with("../") {
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

/// As [`not_negative`], where there is a value at all.
pub fn not_negative_opt(errors: &mut Errors, path: Path<'_>, value: Option<impl Into<i64>>) {
    if let Some(value) = value {
        not_negative(errors, path, value.into());
    }
}

/// A selector that may be left out.
pub fn label_selector_opt(errors: &mut Errors, path: Path<'_>, selector: Option<&LabelSelector>) {
    if let Some(selector) = selector {
        label_selector(errors, path, selector);
    }
}

/// One of a few words, or nothing said.
pub fn one_of_opt(errors: &mut Errors, path: Path<'_>, text: Option<&String>, words: &[&str]) {
    if let Some(text) = text {
        one_of(errors, path, text, words);
    }
}

/// One of a few words; saying nothing is wrong as well.
pub fn one_of_required(errors: &mut Errors, path: Path<'_>, text: Option<&String>, words: &[&str]) {
    match text.filter(|text| !text.is_empty()) {
        None => errors.push(FieldError::required(path, "")),
        Some(text) => one_of(errors, path, text, words),
    }
}

/// Of a percentage, no more than the whole.
pub fn at_most_whole(errors: &mut Errors, path: Path<'_>, value: &proto::IntOrString) {
    if int_or_string::percent(value).is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(path, value, "must not be greater than 100%"));
    }
}

/// What does not change once it is made.
pub fn immutable(errors: &mut Errors, path: Path<'_>, same: bool, shown: impl super::error::Shown) {
    if !same {
        errors.push(FieldError::invalid(path, shown, "field is immutable"));
    }
}

/// Something there that is not yet in `seen`.
pub fn no_duplicates<'a>(errors: &mut Errors, path: Path<'_>, items: impl IntoIterator<Item = &'a String>) {
    let mut seen = std::collections::BTreeSet::new();
    for (index, item) in items.into_iter().enumerate() {
        if !seen.insert(item) {
            errors.push(FieldError::duplicate(path.index(index), item));
        }
    }
}

/// `example.com/name`, where both parts are there.
pub fn domain_path(errors: &mut Errors, path: Path<'_>, text: &str) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    match text.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            shape(errors, path, domain, name::dns_subdomain);
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
            if !rest.bytes().all(allowed) {
                errors.push(FieldError::invalid(
                    path,
                    rest,
                    "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
                ));
            }
        }
        _ => {
            let why = "must be a domain-prefixed path (such as \"acme.io/name\")";
            errors.push(FieldError::invalid(path, text, why));
        }
    }
}

/// An address range as it is written in objects: its first address and the length of the prefix.
pub fn cidr(errors: &mut Errors, path: Path<'_>, text: &str) -> Option<ipnet::IpNet> {
    let found = text.parse::<ipnet::IpNet>().ok();
    let why = match found {
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        Some(range) if is_mapped(&range.addr()) => "must not have an IPv4-mapped IPv6 address",
        Some(range) if range.trunc() != range => "must not have bits set beyond the prefix length",
        Some(_) if text.rsplit_once('/').is_some_and(|(_, bits)| bits.len() > 1 && bits.starts_with('0')) => {
            "must not have leading 0s in prefix length"
        }
        Some(_) => return found,
    };
    errors.push(FieldError::invalid(path, text, why));
    found
}

/// An amount that is not negative.
pub fn amount_not_negative(errors: &mut Errors, path: Path<'_>, amount: Option<&proto::Quantity>) {
    if let Some(quantity) = amount
        && quantity.amount().is_negative()
    {
        errors.push(FieldError::invalid(path, quantity, NOT_NEGATIVE));
    }
}

/// The name of a CSI driver.
pub fn driver_name(errors: &mut Errors, path: Path<'_>, text: &str) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if text.len() > name::LABEL_MAX {
        errors.push(FieldError::too_long(path, name::LABEL_MAX));
    }
    for why in name::dns_subdomain(&text.to_lowercase()) {
        errors.push(FieldError::invalid(path, text, why));
    }
}
