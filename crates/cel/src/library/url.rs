//! URLs, by the rules of Go's `net/url` for what stands in a request.

use std::collections::BTreeMap;

use super::prelude::*;
use crate::value::{Key, Map, Text};

pub const ROWS: &[Row] = &[
    row!("url", "(string) -> Url", Url, |_, args| match args {
        [Value::String(text)] => match Url::read(text) {
            Ok(url) => Ok(Value::host(Host::Url(url))),
            Err(why) => Err(Error::new(format!(
                "URL parse error during conversion from string: parse {}: {why}",
                super::strings::quoted(text)
            ))),
        },
        _ => Err(Error::NoOverload),
    }),
    row!("isURL", "(string) -> bool", Step, |_, args| match args {
        [Value::String(text)] => Ok(Value::Bool(Url::read(text).is_ok())),
        _ => Err(Error::NoOverload),
    }),
    row!("getScheme", "Url.() -> string", Step, |_, args| part(args, |url| url.scheme.clone())),
    row!("getHost", "Url.() -> string", Step, |_, args| part(args, |url| url.host.clone())),
    row!("getHostname", "Url.() -> string", Step, |_, args| part(args, |url| url.host_and_port().0.to_owned())),
    row!("getPort", "Url.() -> string", Step, |_, args| part(args, |url| url.host_and_port().1.to_owned())),
    row!("getEscapedPath", "Url.() -> string", Step, |_, args| part(args, |url| url.path.clone())),
    row!("getQuery", "Url.() -> map<string, list<string>>", Step, query),
];

/// A URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// With the port.
    host: String,
    /// Escaped.
    path: String,
    query: String,
}

impl Url {
    /// Reads an absolute URL, or an absolute path.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err("net/url: invalid control character in URL");
        }
        if text.is_empty() {
            return Err("empty url");
        }
        let (scheme, rest) = scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Self { scheme, host: String::new(), path: String::new(), query: query.to_owned() };
        if !rest.starts_with('/') {
            return if url.scheme.is_empty() { Err("invalid URI for request") } else { Ok(url) };
        }
        let mut path = rest;
        if !url.scheme.is_empty()
            && let Some(after) = rest.strip_prefix("//")
        {
            let end = after.find('/').unwrap_or(after.len());
            let authority = &after[..end];
            path = &after[end..];
            url.host = host(authority.rsplit_once('@').map_or(authority, |(_, host)| host))?;
        }
        url.path = escaped(path)?;
        Ok(url)
    }

    fn host_and_port(&self) -> (&str, &str) {
        let bracket = self.host.find(']').unwrap_or(0);
        let (name, port) = match self.host[bracket..].rfind(':') {
            Some(at) => (&self.host[..bracket + at], &self.host[bracket + at + 1..]),
            None => (self.host.as_str(), ""),
        };
        (name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name), port)
    }
}

/// The scheme of a URL, in small letters, and what follows it.
fn scheme(text: &str) -> Result<(String, &str), &'static str> {
    for (at, letter) in text.char_indices() {
        match letter {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn host(text: &str) -> Result<String, &'static str> {
    let after = match text.strip_prefix('[') {
        Some(inner) => &inner[inner.find(']').ok_or("missing ']' in host")? + 1..],
        None => text.rfind(':').map_or("", |at| &text[at..]),
    };
    let port = after.strip_prefix(':');
    if !after.is_empty() && !port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("invalid port after host");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&byte);
    if !text.bytes().all(allowed) {
        return Err("invalid character in host name");
    }
    unescaped(text, false)
}

fn hex(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()
}

fn unescaped(text: &str, plus: bool) -> Result<String, &'static str> {
    let bytes = text.as_bytes();
    let mut made = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                made.push(hex(bytes, at).ok_or("invalid URL escape")?);
                at += 2;
            }
            b'+' if plus => made.push(b' '),
            other => made.push(other),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&made).into_owned())
}

/// A path as it was written where it was written well, else with what must be escaped escaped.
fn escaped(path: &str) -> Result<String, &'static str> {
    let plain = unescaped(path, false)?;
    let well = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&byte);
    if path.bytes().all(well) {
        return Ok(path.to_owned());
    }
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    let mut made = String::new();
    for byte in plain.bytes() {
        if kept(byte) {
            made.push(char::from(byte));
        } else {
            made.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(made)
}

fn part<'a>(args: &[Value<'a>], of: fn(&Url) -> String) -> Outcome<'a> {
    match args {
        [Value::Host(host)] => match &**host {
            Host::Url(url) => Ok(Value::text(of(url))),
            _ => Err(Error::NoOverload),
        },
        _ => Err(Error::NoOverload),
    }
}

fn query<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Host(host)] = args else { return Err(Error::NoOverload) };
    let Host::Url(url) = &**host else { return Err(Error::NoOverload) };
    let mut found: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Ok(key), Ok(value)) = (unescaped(key, true), unescaped(value, true)) {
            found.entry(key).or_default().push(Value::text(value));
        }
    }
    let entries = found.into_iter().map(|(key, values)| (Key::String(Text::from(key)), Value::list(values)));
    Ok(Value::Map(Map::made(entries.collect())))
}
