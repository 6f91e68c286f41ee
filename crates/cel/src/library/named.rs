//! Forms of texts that have a name: `format.dns1123Label().validate(text)`.

use std::sync::LazyLock;

use ::regex::Regex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::prelude::*;
use super::url::Url;

/// A form that a text may have.
#[derive(Debug)]
pub struct Named {
    pub name: &'static str,
    check: fn(&str) -> Vec<String>,
}

const FORMATS: &[Named] = &[
    Named { name: "dns1123Label", check: |text| dns(text, Label::Dns1123, false) },
    Named { name: "dns1123Subdomain", check: |text| dns(text, Label::Subdomain, false) },
    Named { name: "dns1035Label", check: |text| dns(text, Label::Dns1035, false) },
    Named { name: "dns1123LabelPrefix", check: |text| dns(text, Label::Dns1123, true) },
    Named { name: "dns1123SubdomainPrefix", check: |text| dns(text, Label::Subdomain, true) },
    Named { name: "dns1035LabelPrefix", check: |text| dns(text, Label::Dns1035, true) },
    Named { name: "qualifiedName", check: qualified },
    Named { name: "labelValue", check: label_value },
    Named { name: "uri", check: uri },
    Named { name: "uuid", check: uuid },
    Named { name: "byte", check: byte },
    Named { name: "date", check: date },
    Named { name: "datetime", check: datetime },
];

macro_rules! formats {
    ($($name:literal)*) => {
        pub const ROWS: &[Row] = &[
            row!("format.named", "(string) -> optional<NamedFormat>", Step, |_, args| match args {
                [Value::String(name)] => Ok(by_name(name).map_or(Value::Optional(None), Value::some)),
                _ => Err(Error::NoOverload),
            }),
            row!("validate", "NamedFormat.(string) -> optional<list<string>>", Parse, validate),
            $(row!($name, "() -> NamedFormat", Step, |_, _| {
                by_name($name.trim_start_matches("format.")).ok_or(Error::NoOverload)
            }),)*
        ];
    };
}

formats! {
    "format.dns1123Label" "format.dns1123Subdomain" "format.dns1035Label" "format.dns1123LabelPrefix"
    "format.dns1123SubdomainPrefix" "format.dns1035LabelPrefix" "format.qualifiedName" "format.labelValue"
    "format.uri" "format.uuid" "format.byte" "format.date" "format.datetime"
}

fn by_name<'a>(name: &str) -> Option<Value<'a>> {
    FORMATS.iter().find(|format| format.name == name).map(|format| Value::host(Host::Format(format)))
}

fn validate<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Host(host), Value::String(text)] = args else { return Err(Error::NoOverload) };
    let Host::Format(format) = &**host else { return Err(Error::NoOverload) };
    let wrong = (format.check)(text);
    Ok(match wrong.is_empty() {
        true => Value::Optional(None),
        false => Value::some(Value::list(wrong.into_iter().map(Value::text).collect())),
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Label {
    Dns1123,
    Dns1035,
    Subdomain,
}

fn dns(text: &str, kind: Label, prefix: bool) -> Vec<String> {
    // What a name is made from may end with a dash.
    let text = if prefix { text.strip_suffix('-').unwrap_or(text) } else { text };
    let (max, why) = match kind {
        Label::Dns1123 => (
            63,
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        Label::Dns1035 => (
            63,
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
        Label::Subdomain => (
            253,
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
    };
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |text: &str| {
        let bytes = text.as_bytes();
        let begins = |byte: u8| if kind == Label::Dns1035 { byte.is_ascii_lowercase() } else { alphanumeric(byte) };
        bytes.first().is_some_and(|byte| begins(*byte))
            && bytes.last().is_some_and(|byte| alphanumeric(*byte))
            && bytes.iter().all(|byte| alphanumeric(*byte) || *byte == b'-')
    };
    let fits = if kind == Label::Subdomain { text.split('.').all(label) } else { label(text) };
    let mut wrong = Vec::new();
    if text.len() > max {
        wrong.push(format!("must be no more than {max} bytes"));
    }
    if !fits {
        wrong.push(why.to_owned());
    }
    wrong
}

/// Letters and digits at both ends, and marks between them.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    end(bytes.first())
        && end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn qualified(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let why = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    if name.contains('/') {
        return vec![format!(
            "a qualified name {why} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )];
    }
    match prefix {
        Some("") => wrong.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            wrong.extend(dns(prefix, Label::Subdomain, false).into_iter().map(|why| format!("prefix part {why}")))
        }
        None => {}
    }
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_name(name) {
        wrong.push(format!("name part {why}"));
    }
    wrong
}

fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push("must be no more than 63 bytes".to_owned());
    }
    if !text.is_empty() && !is_name(text) {
        wrong.push("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')".to_owned());
    }
    wrong
}

fn uri(text: &str) -> Vec<String> {
    match Url::read(text) {
        Ok(_) => Vec::new(),
        Err(why) => vec![format!("parse {}: {why}", super::strings::quoted(text))],
    }
}

fn unless(fits: bool, why: &str) -> Vec<String> {
    if fits { Vec::new() } else { vec![why.to_owned()] }
}

fn uuid(text: &str) -> Vec<String> {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new("^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").expect("a form of our own")
    });
    unless(FORM.is_match(text), "does not match the UUID format")
}

fn byte(text: &str) -> Vec<String> {
    unless(STANDARD.decode(text).is_ok(), "invalid base64")
}

fn date(text: &str) -> Vec<String> {
    unless(super::time::timestamp(&format!("{text}T00:00:00Z")).is_some(), "invalid date")
}

fn datetime(text: &str) -> Vec<String> {
    unless(super::time::timestamp(text).is_some(), "invalid datetime")
}
