//! The formats of texts and numbers that a schema may name (`format`); others say nothing, as upstream.

use std::net::IpAddr;

use super::node::Kind;
use super::pattern;

/// True where a format has a meaning for values of the type.
pub fn known(kind: Kind, format: &str) -> bool {
    match kind {
        Kind::Any | Kind::String => KNOWN.contains(&plain(format).as_str()),
        Kind::Integer => matches!(format, "int32" | "int64"),
        Kind::Number => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Dashes in the names of formats say nothing.
fn plain(format: &str) -> String {
    format.replace('-', "")
}

const KNOWN: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "quantity",
    "k8sshortname",
    "k8slongname",
];

/// Whether a text has a format; true for formats that say nothing.
pub fn fits(format: &str, text: &str) -> bool {
    match plain(format).as_str() {
        "bsonobjectid" => text.len() == 24 && hex(text),
        "uri" => uri(text),
        "email" => email(text),
        "hostname" => hostname(text),
        "ipv4" => address(text).is_some_and(|address| address.is_ipv4()),
        "ipv6" => text.contains(':') && address(text).is_some(),
        "cidr" => cidr(text),
        "mac" => mac(text),
        "uuid" => uuid(text, None, false),
        "uuid3" => uuid(text, Some('3'), false),
        "uuid4" => uuid(text, Some('4'), true),
        "uuid5" => uuid(text, Some('5'), true),
        "isbn" => isbn10(text) || isbn13(text),
        "isbn10" => isbn10(text),
        "isbn13" => isbn13(text),
        "creditcard" => credit_card(text),
        "ssn" => matches(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$", text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && hex(digits)
        }
        "rgbcolor" => rgb_color(text),
        "byte" => byte(text),
        "date" => date(text),
        "duration" => duration(text),
        "datetime" => date_time(text),
        "quantity" => proto::Quantity::parse(text).is_ok(),
        "k8sshortname" => crate::name::dns_label(text).is_empty(),
        "k8slongname" => crate::name::dns_subdomain(text).is_empty(),
        _ => true,
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    pattern::compile(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

fn hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A path, or a scheme and something after it.
fn uri(text: &str) -> bool {
    if text.chars().any(|letter| letter.is_ascii_control() || letter == ' ') || !escapes(text) {
        return false;
    }
    if text.starts_with('/') || text == "*" {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let named = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    named && rest.strip_prefix("//").is_none_or(|rest| authority(rest.split(['/', '?']).next().unwrap_or_default()))
}

fn authority(text: &str) -> bool {
    let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
    if host.contains(['"', '<', '>', '\\', '^', '`', '{', '}', '|']) {
        return false;
    }
    let port = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((_, port)) = rest.split_once(']') else { return false };
            port.strip_prefix(':').unwrap_or(port)
        }
        None => host.rsplit_once(':').map_or("", |(_, port)| port),
    };
    port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Every percent sign is followed by two digits.
fn escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|after| after.get(..2).is_some_and(hex))
}

/// An address, with or without a name before it: `a@b`, `Ann <a@b>`.
fn email(text: &str) -> bool {
    let address = match text.strip_suffix('>') {
        Some(rest) => match rest.rsplit_once('<') {
            Some((_, address)) => address,
            None => return false,
        },
        None => text.trim(),
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |letter: char| letter.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter);
    let dotted =
        |text: &str| !text.is_empty() && text.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    (quoted || dotted(local)) && (dotted(domain) || literal.is_some_and(address_literal))
}

fn address_literal(text: &str) -> bool {
    text.strip_prefix("IPv6:").unwrap_or(text).parse::<IpAddr>().is_ok()
}

/// Labels of at most 63 bytes, 255 in all, the last one of letters.
fn hostname(text: &str) -> bool {
    const PATTERN: &str = r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$";
    text.len() <= 255 && text.split('.').all(|label| label.len() <= 63) && matches(PATTERN, text)
}

/// An IP address; numbers may begin with zeros, as in Kubernetes' own fields of old.
fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse().ok().filter(|address: &IpAddr| address.is_ipv6());
    }
    let parts: Option<Vec<u8>> = text
        .split('.')
        .map(|part| part.parse::<u8>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit())))
        .collect();
    Some(IpAddr::from(<[u8; 4]>::try_from(parts?).ok()?))
}

fn cidr(text: &str) -> bool {
    let Some((host, length)) = text.split_once('/') else { return false };
    let Some(address) = address(host) else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    length.bytes().all(|byte| byte.is_ascii_digit()) && length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// 6, 8 or 20 bytes, parted by colons or dashes, or in twos by dots.
fn mac(text: &str) -> bool {
    let parted = |by: char, size: usize, counts: [usize; 3]| {
        let parts: Vec<&str> = text.split(by).collect();
        counts.contains(&parts.len()) && parts.iter().all(|part| part.len() == size && hex(part))
    };
    parted(':', 2, [6, 8, 20]) || parted('-', 2, [6, 8, 20]) || parted('.', 4, [3, 4, 10])
}

/// Groups of 8, 4, 4, 4 and 12 digits; each dash may be missing.
fn uuid(text: &str, version: Option<char>, variant: bool) -> bool {
    let mut rest = text;
    for (index, size) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some(group) = rest.get(..size).filter(|group| hex(group)) else { return false };
        let wrong = match index {
            2 => version.is_some_and(|version| !group.starts_with(version)),
            3 => variant && !group.starts_with(['8', '9', 'a', 'b', 'A', 'B']),
            _ => false,
        };
        if wrong {
            return false;
        }
        rest = &rest[size..];
    }
    rest.is_empty()
}

/// The digits of a book's number, without the dashes and spaces in it.
fn book(text: &str) -> Vec<char> {
    text.chars().filter(|letter| !matches!(letter, '-' | ' ')).collect()
}

fn isbn10(text: &str) -> bool {
    let digits = book(text);
    let sum: Option<u32> = digits
        .iter()
        .enumerate()
        .map(|(at, letter)| match (at, letter) {
            (9, 'X') => Some(100),
            _ => Some((at as u32 + 1) * letter.to_digit(10)?),
        })
        .sum();
    digits.len() == 10 && sum.is_some_and(|sum| sum % 11 == 0)
}

fn isbn13(text: &str) -> bool {
    let digits = book(text);
    let sum: Option<u32> = digits
        .iter()
        .enumerate()
        .map(|(at, letter)| Some(letter.to_digit(10)? * if at % 2 == 0 { 1 } else { 3 }))
        .sum();
    digits.len() == 13 && sum.is_some_and(|sum| sum % 10 == 0)
}

fn credit_card(text: &str) -> bool {
    const PATTERN: &str = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$";
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|letter| letter.to_digit(10))
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => digit,
            _ if digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    matches(PATTERN, &digits) && sum.is_multiple_of(10)
}

fn rgb_color(text: &str) -> bool {
    let Some(inner) = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')) else { return false };
    let part = |part: &str| {
        let part = part.trim_matches([' ', '\t', '\n', '\r', '\u{c}']);
        part.parse::<u8>().is_ok()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    inner.split(',').count() == 3 && inner.split(',').all(part)
}

/// Base64 with its padding.
fn byte(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    !text.is_empty() && text.len().is_multiple_of(4) && text.len() - digits.len() <= 2 && digits.bytes().all(digit)
}

/// `2006-01-02`.
fn date(text: &str) -> bool {
    matches(r"^\d{4}-\d{2}-\d{2}$", text) && text.parse::<jiff::civil::Date>().is_ok()
}

/// A date and a time with its zone; the seconds may have a fraction.
fn date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let Some((day, time)) = lower.split_once('t') else { return false };
    let shaped = matches(r"^[0-9]{2}:[0-9]{2}:[0-9]{2}(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$", time);
    let within = |at: usize, most: &str| time.get(at..at + 2).is_some_and(|part| part <= most);
    date(day) && shaped && within(0, "23") && within(3, "59") && within(6, "59")
}

/// Numbers with units: `1h30m`, `2 weeks`.
fn duration(text: &str) -> bool {
    const UNITS: &[&str] = &[
        "ns", "nano", "nanos", "us", "\u{b5}s", "\u{3bc}s", "micro", "micros", "ms", "milli", "millis", "s", "sec",
        "secs", "second", "seconds", "m", "min", "mins", "minute", "minutes", "h", "hr", "hrs", "hour", "hours", "d",
        "day", "days", "w", "wk", "week", "weeks",
    ];
    if text == "0" {
        return true;
    }
    let mut rest = text.trim_start_matches(['-', '+']);
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let end = after.find(|letter: char| !letter.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if number.parse::<f64>().is_err() || !UNITS.contains(&unit.to_lowercase().as_str()) {
            return false;
        }
        parts += 1;
        rest = after.trim_start();
    }
    parts > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, good: &[&str], bad: &[&str]) {
        assert!(known(Kind::String, format), "{format} is not known");
        for text in good {
            assert!(fits(format, text), "{format} should take {text:?}");
        }
        for text in bad {
            assert!(!fits(format, text), "{format} should refuse {text:?}");
        }
    }

    #[test]
    fn texts_have_the_formats_that_upstream_sees() {
        check("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f", "z07f1f77bcf86cd799439011"]);
        check("uri", &["http://a.b/c?d", "/a", "urn:x:y"], &["", "a", "http://a b", "http://a:x/", "/%zz"]);
        check("email", &["a@b.c", "Ann <a@b>"], &["a", "a@", "@b", "a b@c"]);
        check("hostname", &["a.example.com", "a"], &["", "a..b", "-a.com"]);
        check("ipv4", &["10.0.0.1", "010.0.0.1"], &["10.0.0", "256.0.0.1", "::1"]);
        check("ipv6", &["::1", "::ffff:1.2.3.4"], &["1.2.3.4", ":::"]);
        check("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "x/1"]);
        check("mac", &["00:11:22:aa:bb:cc", "0011.22aa.bbcc", "00-11-22-aa-bb-cc"], &["00:11", "001122aabbcc"]);
        check("uuid", &["6f1b8e2e-1c6b-4a0f-9b0a-2f7b6d9b1c11", "6F1B8E2E1C6B4A0F9B0A2F7B6D9B1C11"], &["x", ""]);
        check("uuid3", &["6f1b8e2e-1c6b-3a0f-0b0a-2f7b6d9b1c11"], &["6f1b8e2e-1c6b-4a0f-9b0a-2f7b6d9b1c11"]);
        check("uuid4", &["6f1b8e2e-1c6b-4a0f-9b0a-2f7b6d9b1c11"], &["6f1b8e2e-1c6b-4a0f-0b0a-2f7b6d9b1c11"]);
        check("uuid5", &["6f1b8e2e-1c6b-5a0f-9b0a-2f7b6d9b1c11"], &["6f1b8e2e-1c6b-4a0f-9b0a-2f7b6d9b1c11"]);
        check("isbn", &["0321751043", "978-0321751041"], &["0321751044", "978"]);
        check("isbn10", &["0-321-75104-3"], &["978-0321751041"]);
        check("isbn13", &["978-0321751041"], &["0321751043"]);
        check("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112", "1"]);
        check("ssn", &["111-11-1111", "111 11 1111"], &["111-11"]);
        check("hexcolor", &["#FFFFFF", "abd"], &["#ff", "#ggg"]);
        check("rgbcolor", &["rgb(255, 0, 1)"], &["rgb(256,0,1)", "rgb(01,0,1)", "255,0,1"]);
        check("byte", &["aGk=", "aGVs"], &["", "a", "aGk", "a==="]);
        check("password", &["", "anything"], &[]);
        check("date", &["2024-02-29"], &["2023-02-29", "2024-1-1", "x"]);
        check(
            "date-time",
            &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+01:00"],
            &["x", "2014-12-15", "2014-12-15T24:00:00Z"],
        );
        check("duration", &["22 ns", "1h30m", "3 weeks", "1.5s"], &["", "1", "h", "1 parsec"]);
        check("quantity", &["10Gi", "1"], &["x"]);
        check("k8s-short-name", &["a-b"], &["a.b", "A"]);
        check("k8s-long-name", &["a.b"], &["a_.b"]);
    }

    #[test]
    fn a_format_that_nobody_knows_says_nothing() {
        assert!(!known(Kind::String, "colour") && fits("colour", "x"));
        assert!(known(Kind::Integer, "int32") && !known(Kind::String, "int32") && !known(Kind::Object, "date"));
    }
}
